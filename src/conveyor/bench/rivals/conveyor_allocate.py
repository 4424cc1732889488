"""conveyor.Queue with arrays made in the queue's own memory: no copy at all."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle, islice
from typing import Any

from conveyor.bench.arrays import marks, positions
from conveyor.bench.optional import optional
from conveyor.bench.rivals.base import Channel, Sender, Shape
from conveyor.bench.rivals.conveyor import Conveyor, new_queue
from conveyor.bench.rivals.standard_library import QueueChannel

__all__ = ["ConveyorAllocate"]


class _Sender(Sender):
    """Allocates each array, marks it as the item it stands for, and puts it."""

    def __init__(self, queue: Any) -> None:
        super().__init__(self._copy)
        self.queue = queue

    def _copy(self, item: Any) -> None:
        """Whole, for the phase in which whole arrays are compared."""
        place = self.queue.allocate(item.shape, item.dtype)
        place[...] = item
        self.queue.put(place)

    def send(self, items: Sequence[Any], count: int) -> None:
        allocate, put = self.queue.allocate, self.queue.put
        shape, dtype = items[0].shape, items[0].dtype
        first, second, third, last = positions(items[0].size)
        for some in islice(cycle([marks(item) for item in items]), count):
            place = allocate(shape, dtype)
            place[first], place[second], place[third], place[last] = some
            put(place)


class _Channel(QueueChannel):
    def sender(self, index: int) -> Sender:
        return _Sender(self.queue)


class ConveyorAllocate(Conveyor):
    """`allocate`, a few elements set, `put`; and `get`."""

    name = "conveyor-allocate"
    title = "conveyor allocate"
    in_place = True

    def load(self) -> None:
        if not hasattr(optional("conveyor").Queue, "allocate"):
            raise ImportError("conveyor.Queue has no allocate() here")

    def open(self, shape: Shape) -> Channel:
        return _Channel(new_queue(shape))
