"""subetha-ipc: rings in a mapped file, in Rust; pickle is added here, as its users must.

One consumer: `Ring` with `send_frame` and `recv_frame`, which carry up to 8 KiB; neither waits, and
sleeping for 0 s and trying again is what its users are left with. Several consumers: `Channel`, whose
slots hold 52 bytes and which waits by itself; the ring shares frames out among the consumers by its own
rule there, so that one of them gets more than its share and another starves.
Capacities are powers of two, from 2 on.
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

__all__ = ["Subetha"]

_PROTOCOL = pickle.HIGHEST_PROTOCOL
_CAPACITY = 4096
"""Items, where nobody asks for a bound: of 1,024 and 4,096 the better in a trial."""
_FRAME_BYTES, _SLOT_BYTES = 8192, 52


class _RingSender(Sender):
    def __init__(self, ring: Any) -> None:
        super().__init__(lambda item: self.send((item,), 1))
        self.producer = ring.register_producer()
        self.send_frame = ring.send_frame

    def send(self, items: Sequence[Any], count: int) -> None:
        dumps, send_frame, producer = pickle.dumps, self.send_frame, self.producer
        for item in islice(cycle(items), count):
            message = dumps(item, _PROTOCOL)
            while not send_frame(producer, message):
                sleep(0)


class _RingReceiver(Receiver):
    def __init__(self, ring: Any) -> None:
        consumer, recv_frame = ring.register_consumer(), ring.recv_frame
        loads: Callable[[Any], Any] = pickle.loads

        def get() -> Any:
            while (message := recv_frame(consumer)) is None:
                sleep(0)
            return loads(message)

        super().__init__(get)


class _ChannelSender(Sender):
    def __init__(self, channel: Any) -> None:
        send_for = channel.send_for
        super().__init__(lambda item: send_for(pickle.dumps(item, _PROTOCOL)))
        self.send_for = send_for

    def send(self, items: Sequence[Any], count: int) -> None:
        dumps, send_for = pickle.dumps, self.send_for
        for item in islice(cycle(items), count):
            send_for(dumps(item, _PROTOCOL))


class _ChannelReceiver(Receiver):
    def __init__(self, channel: Any) -> None:
        self.recv_for = recv_for = channel.recv_for
        loads: Callable[[Any], Any] = pickle.loads
        super().__init__(lambda: loads(recv_for()))

    def receive(self, count: int, right: Callable[[Any], bool]) -> Tally:
        loads, recv_for = pickle.loads, self.recv_for
        wrong = int(not right(loads(recv_for())))
        first = monotonic_ns()
        rounds, rest = divmod(count - 1, SAMPLE_EVERY)
        for _ in repeat(None, rounds):
            for _ in repeat(None, SAMPLE_EVERY - 1):
                item = loads(recv_for())
            item = loads(recv_for())
            wrong += not right(item)
        for _ in repeat(None, rest):
            item = loads(recv_for())
        return Tally(first, monotonic_ns(), wrong)


class _Channel(Channel):
    def __init__(self, module: Any, shape: Shape) -> None:
        shared = Path("/dev/shm")
        self.folder = tempfile.mkdtemp(prefix="conveyor-bench-", dir=shared if shared.is_dir() else None)
        self.framed = shape.consumers == 1
        make = module.Ring if self.framed else module.Channel
        capacity = shape.bound or _CAPACITY
        self.queue = make(str(Path(self.folder) / "queue"), capacity, shape.producers, shape.consumers)

    def sender(self, index: int) -> Sender:
        return _RingSender(self.queue) if self.framed else _ChannelSender(self.queue)

    def receiver(self, index: int) -> Receiver:
        return _RingReceiver(self.queue) if self.framed else _ChannelReceiver(self.queue)

    def left_over(self) -> bool:
        return not self.queue.is_empty() if self.framed else self.queue.recv() is not None

    def close(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


class Subetha(Rival):
    """`pickle.dumps` + `send_frame`, and `recv_frame` + `pickle.loads`."""

    name = "subetha"
    title = "subetha-ipc + pickle"
    distribution = "subetha-ipc"

    def takes_bound(self, items: int) -> bool:
        return items >= 2 and not items & (items - 1)

    def most_bytes(self, consumers: int) -> int | None:
        return _FRAME_BYTES if consumers == 1 else _SLOT_BYTES

    def load(self) -> None:
        optional("subetha")

    def open(self, shape: Shape) -> Channel:
        return _Channel(optional("subetha"), shape)
