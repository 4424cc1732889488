"""QueueSink: puts values into a queue."""

from __future__ import annotations

from typing import Any

from ...errors import Full
from .sink import PlainSink

__all__ = ["QueueSink"]


class QueueSink(PlainSink):
    """Puts values into a queue; a full one holds up the pipeline.

    Args:
        queue: a queue of conveyor's, or of any other kind with `put(item, block, timeout)`.
    """

    def __init__(self, queue: Any) -> None:
        self._queue = queue
        self._many = getattr(queue, "put_many", None)

    def take(self, values: list[Any]) -> int:
        """Take what there is room for."""
        if self._many is not None:
            try:
                self._many(values, block=False)
            except Full as full:
                return int(getattr(full, "items_put", 0))
            return len(values)
        for count, value in enumerate(values):
            try:
                self._queue.put(value, False)
            except Full:
                return count
        return len(values)

    def tell_end(self) -> None:
        """Shut the queue down."""
        shutdown = getattr(self._queue, "shutdown", None)
        if callable(shutdown):
            shutdown()
