"""cloudtoid-interprocess: a ring of bytes in Rust; pickle is added here, as its users must.

Its file is put under /dev/shm (its own default is /tmp, which may lie on a disk). `try_send`
answers False when the ring is full and there is no blocking variant: sleeping for 0 s and
trying again was about as fast as the best of the other waits tried (spin, sched_yield, 50 us).
"""

from __future__ import annotations

import pickle
import shutil
import tempfile
from collections.abc import Callable, Sequence
from itertools import cycle, islice, repeat
from pathlib import Path
from time import monotonic_ns, sleep
from typing import Any

from conveyor.bench.optional import optional
from conveyor.bench.rivals.base import SAMPLE_EVERY, Channel, Receiver, Rival, Sender, Shape, Tally

__all__ = ["Cloudtoid"]

_PROTOCOL = pickle.HIGHEST_PROTOCOL


class _Sender(Sender):
    def __init__(self, publisher: Any) -> None:
        super().__init__(lambda item: self.send((item,), 1))
        self.publisher = publisher

    def send(self, items: Sequence[Any], count: int) -> None:
        dumps, try_send = pickle.dumps, self.publisher.try_send
        for item in islice(cycle(items), count):
            message = dumps(item, _PROTOCOL)
            while not try_send(message):
                sleep(0)

    def close(self) -> None:
        self.publisher.close()


class _Receiver(Receiver):
    def __init__(self, subscriber: Any) -> None:
        self.subscriber = subscriber
        loads: Callable[[Any], Any] = pickle.loads
        super().__init__(lambda: loads(subscriber.receive()))

    def receive(self, count: int, right: Callable[[Any], bool]) -> Tally:
        loads, receive = pickle.loads, self.subscriber.receive
        wrong = int(not right(loads(receive())))
        first = monotonic_ns()
        rounds, rest = divmod(count - 1, SAMPLE_EVERY)
        for _ in repeat(None, rounds):
            for _ in repeat(None, SAMPLE_EVERY - 1):
                item = loads(receive())
            item = loads(receive())
            wrong += not right(item)
        for _ in repeat(None, rest):
            item = loads(receive())
        return Tally(first, monotonic_ns(), wrong)

    def close(self) -> None:
        self.subscriber.close()


class _Channel(Channel):
    def __init__(self, module: Any, capacity: int) -> None:
        self.module = module
        self.capacity = capacity
        shared = Path("/dev/shm")
        self.folder = tempfile.mkdtemp(prefix="conveyor-bench-", dir=shared if shared.is_dir() else None)
        self.name = Path(self.folder).name
        # A queue without any endpoint loses its messages: the parent holds one throughout.
        self.holder = module.Subscriber(self.name, capacity, self.folder)

    def sender(self, index: int) -> Sender:
        return _Sender(self.module.Publisher(self.name, self.capacity, self.folder))

    def receiver(self, index: int) -> Receiver:
        return _Receiver(self.module.Subscriber(self.name, self.capacity, self.folder))

    def left_over(self) -> bool:
        return self.holder.try_receive() is not None

    def close(self) -> None:
        self.holder.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class Cloudtoid(Rival):
    """`pickle.dumps` + `try_send`, and `receive` + `pickle.loads`."""

    name = "cloudtoid"
    title = "cloudtoid-interprocess + pickle"
    distribution = "cloudtoid-interprocess"

    def load(self) -> None:
        optional("cloudtoid_interprocess")

    def open(self, shape: Shape) -> Channel:
        return _Channel(optional("cloudtoid_interprocess"), shape.ring_bytes)
