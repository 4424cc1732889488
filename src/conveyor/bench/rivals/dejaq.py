"""dejaq: a ring in `shared_memory`, named semaphores, and pickle protocol 5 with buffers out of band.

Its `get` makes a deep copy of what it has unpickled, since an array would be a view of the ring.
Anything but an array is its own already, so a callback that copies arrays alone is given: faster.
"""

from __future__ import annotations

import logging
from typing import Any

from conveyor.bench.optional import optional
from conveyor.bench.rivals.base import Channel, Receiver, Rival, Sender, Shape

__all__ = ["Dejaq"]


class _Channel(Channel):
    def __init__(self, queue: Any) -> None:
        self.queue = queue

    def sender(self, index: int) -> Sender:
        return Sender(self.queue.put)

    def receiver(self, index: int) -> Receiver:
        get, array = self.queue.get, optional("numpy").ndarray

        def own(item: Any) -> Any:
            return item.copy() if isinstance(item, array) else item

        return Receiver(lambda: get(callback=own))

    def left_over(self) -> bool:
        return not self.queue.is_empty

    def close(self) -> None:
        self.queue.unlink()  # in this order: after `close` it raises
        self.queue.close()


class Dejaq(Rival):
    """`put` and `get`."""

    name = "dejaq"
    title = "dejaq"
    distribution = "dejaq"

    def load(self) -> None:
        # Importing it sets up logging of the whole program, to stdout, where our JSON may go.
        root = logging.getLogger()
        handlers, level = list(root.handlers), root.level
        try:
            optional("dejaq")
        finally:
            root.handlers[:] = handlers
            root.setLevel(level)

    def open(self, shape: Shape) -> Channel:
        return _Channel(optional("dejaq").DejaQueue(shape.ring_bytes))
