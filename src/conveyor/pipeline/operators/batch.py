"""BatchNode: collects values into lists."""

from __future__ import annotations

from typing import Any

from ..flow.lineage import Lineage
from ..supervise.engine_context import EngineContext
from .node import ROOM, Node, Origins

__all__ = ["BatchNode"]


class BatchNode(Node):
    """Collects values into lists.

    Args:
        stage: its name.
        size: values in a list.
        seconds: after the first value a list waits no longer for more; None: for ever.
        context: the engine.
    """

    def __init__(self, stage: str, size: int, seconds: float | None, context: EngineContext) -> None:
        super().__init__(stage)
        self._context = context
        self._size = size
        self._seconds = seconds
        self._batch: list[Any] = []
        self._origins: Origins = None
        self._due: float | None = None

    def demand(self) -> int:
        """Whatever there is, as long as whole lists go away."""
        return 0 if self.blocked else max(self._size - len(self._batch), 1) + ROOM

    def push(self, values: list[Any], origins: Origins) -> None:
        """Take values."""
        self.taken += len(values)
        if not self._batch and self._seconds is not None:
            self._due = self._context.now() + self._seconds
        self._batch = self._batch + values
        if origins is not None:
            self._origins = [*(self._origins or []), *origins]
        whole = len(self._batch) // self._size * self._size
        if whole:
            self._cut(whole)

    def _cut(self, until: int) -> None:
        size = self._size
        batches = [self._batch[at : min(at + size, until)] for at in range(0, until, size)]
        origins: Origins = None
        if self._origins is not None:
            origins = [Lineage(self._origins[at : min(at + size, until)]) for at in range(0, until, size)]
            self._origins = self._origins[until:]
        self._batch = self._batch[until:]
        again = self._batch and self._seconds is not None
        self._due = self._context.now() + self._seconds if again and self._seconds is not None else None
        self._emit(list(batches), origins)

    def advance(self, now: float) -> bool:
        """Pass on what is whole, or has waited long enough, or will not grow."""
        if self._batch and (self.inlets == 0 or (self._due is not None and now >= self._due)):
            self._cut(len(self._batch))
        return self._pass_on()

    @property
    def held(self) -> int:
        """Values that wait."""
        return super().held + len(self._batch)

    def deadline(self) -> float | None:
        """When the list has waited long enough."""
        return self._due
