"""conveyor.Queue itself: one item a call, and 100 a call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import cycle, islice, repeat
from time import monotonic_ns
from typing import Any

from conveyor.bench.optional import optional
from conveyor.bench.rivals.base import Channel, Receiver, Rival, Sender, Shape, Tally
from conveyor.bench.rivals.standard_library import QueueChannel

__all__ = ["BATCH", "Conveyor", "ConveyorMany", "ConveyorUnbounded", "new_queue"]

BATCH = 100
"""Items a call for the rows that move many."""


def new_queue(shape: Shape) -> Any:
    """conveyor's own queue, bounded as the shape says."""
    from conveyor import Queue

    queue: Queue[Any] = Queue(shape.bound)
    return queue


class Conveyor(Rival):
    """`put` and `get`, exactly as a program written for multiprocessing calls them."""

    name = "conveyor"
    title = "conveyor.Queue"
    ours = True
    distribution = "conveyor"

    def load(self) -> None:
        optional("conveyor")

    def takes_bound(self, items: int) -> bool:
        return True

    def open(self, shape: Shape) -> Channel:
        return QueueChannel(new_queue(shape))


class _ManySender(Sender):
    def __init__(self, queue: Any) -> None:
        super().__init__(queue.put)
        self.put_many = queue.put_many

    def send(self, items: Sequence[Any], count: int) -> None:
        put_many = self.put_many
        batch = list(islice(cycle(items), BATCH))
        rounds, rest = divmod(count, BATCH)
        for _ in repeat(None, rounds):
            put_many(batch)
        if rest:
            put_many(batch[:rest])


class _ManyReceiver(Receiver):
    def __init__(self, queue: Any) -> None:
        super().__init__(queue.get)
        self.get_many = queue.get_many

    def receive(self, count: int, right: Callable[[Any], bool]) -> Tally:
        get_many = self.get_many
        wrong = int(not right(self.get()))
        first = monotonic_ns()
        left = count - 1
        while left:
            items = get_many(BATCH if left > BATCH else left)
            left -= len(items)
            wrong += not right(items[-1])
        return Tally(first, monotonic_ns(), wrong)


class _ManyChannel(QueueChannel):
    def sender(self, index: int) -> Sender:
        return _ManySender(self.queue)

    def receiver(self, index: int) -> Receiver:
        return _ManyReceiver(self.queue)


class ConveyorUnbounded(Conveyor):
    """The same without a bound, beside the bounded one: what the bound costs."""

    name = "conveyor-unbounded"
    title = "conveyor.Queue, unbounded"
    unbounded = True

    def open(self, shape: Shape) -> Channel:
        return super().open(replace(shape, bound=0))


class ConveyorMany(Conveyor):
    """`put_many` of 100 items and `get_many` of up to 100."""

    name = "conveyor-many"
    title = f"conveyor put_many/get_many({BATCH})"
    style = "many"

    def open(self, shape: Shape) -> Channel:
        return _ManyChannel(new_queue(shape))
