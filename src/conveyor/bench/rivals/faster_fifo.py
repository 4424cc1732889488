"""faster-fifo: a C++ ring under Cython, one item a call and 100 a call.

Small items go through the C pickler directly (its constructor takes `dumps` and `loads`), which
is half as fast again as its default; large ones through its default, which was faster for them.
Every call names a timeout, since its own default of 10 s would end a long wait with Full or Empty.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from functools import partial
from itertools import cycle, islice, repeat
from time import monotonic_ns
from typing import Any

from conveyor.bench.optional import optional
from conveyor.bench.rivals.base import SAMPLE_EVERY, Channel, Receiver, Rival, Sender, Shape, Tally
from conveyor.bench.rivals.conveyor import BATCH

__all__ = ["FasterFifo", "FasterFifoMany"]

_PATIENCE = 600.0
"""Seconds; longer than any measurement may last."""


_NO_BOUND = 1_000_000_000
"""Items; its own default."""


class _Sender(Sender):
    def __init__(self, queue: Any) -> None:
        super().__init__(lambda item: queue.put(item, True, _PATIENCE))
        self.queue = queue

    def send(self, items: Sequence[Any], count: int) -> None:
        put = self.queue.put
        for item in islice(cycle(items), count):
            put(item, True, _PATIENCE)


class _Receiver(Receiver):
    def __init__(self, queue: Any) -> None:
        super().__init__(lambda: queue.get(True, _PATIENCE))
        self.queue = queue

    def receive(self, count: int, right: Callable[[Any], bool]) -> Tally:
        get = self.queue.get
        wrong = int(not right(get(True, _PATIENCE)))
        first = monotonic_ns()
        rounds, rest = divmod(count - 1, SAMPLE_EVERY)
        for _ in repeat(None, rounds):
            for _ in repeat(None, SAMPLE_EVERY - 1):
                item = get(True, _PATIENCE)
            item = get(True, _PATIENCE)
            wrong += not right(item)
        for _ in repeat(None, rest):
            item = get(True, _PATIENCE)
        return Tally(first, monotonic_ns(), wrong)


class _ManySender(_Sender):
    def send(self, items: Sequence[Any], count: int) -> None:
        put_many = self.queue.put_many
        batch = list(islice(cycle(items), BATCH))
        rounds, rest = divmod(count, BATCH)
        for _ in repeat(None, rounds):
            put_many(batch, True, _PATIENCE)
        if rest:
            put_many(batch[:rest], True, _PATIENCE)


class _ManyReceiver(_Receiver):
    def receive(self, count: int, right: Callable[[Any], bool]) -> Tally:
        get_many = self.queue.get_many
        wrong = int(not right(self.get()))
        first = monotonic_ns()
        left = count - 1
        while left:
            items = get_many(True, _PATIENCE, BATCH if left > BATCH else left)
            left -= len(items)
            wrong += not right(items[-1])
        return Tally(first, monotonic_ns(), wrong)


class _Channel(Channel):
    def __init__(self, queue: Any, many: bool) -> None:
        self.queue = queue
        self.many = many

    def sender(self, index: int) -> Sender:
        return _ManySender(self.queue) if self.many else _Sender(self.queue)

    def receiver(self, index: int) -> Receiver:
        return _ManyReceiver(self.queue) if self.many else _Receiver(self.queue)

    def left_over(self) -> bool:
        return bool(self.queue.qsize())

    def close(self) -> None:
        self.queue.close()


class FasterFifo(Rival):
    """`put` and `get`."""

    name = "faster-fifo"
    title = "faster-fifo"
    distribution = "faster-fifo"

    def takes_bound(self, items: int) -> bool:
        return True

    def load(self) -> None:
        optional("faster_fifo")

    def open(self, shape: Shape) -> Channel:
        ring = shape.ring_bytes  # holds several batches: put_many is all or nothing
        make = optional("faster_fifo").Queue
        places = shape.bound or _NO_BOUND
        if shape.item_bytes < 1 << 16:
            dumps = partial(pickle.dumps, protocol=pickle.HIGHEST_PROTOCOL)
            queue = make(ring, places, loads=pickle.loads, dumps=dumps)
        else:
            queue = make(ring, places)
        return _Channel(queue, self.style == "many")


class FasterFifoMany(FasterFifo):
    """`put_many` of 100 items and `get_many` of up to 100."""

    name = "faster-fifo-many"
    title = f"faster-fifo put_many/get_many({BATCH})"
    style = "many"
