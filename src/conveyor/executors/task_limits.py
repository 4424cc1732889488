"""TaskLimits: how long workers may take, where each call has a limit of its own."""

from __future__ import annotations

import math

from ..pipeline.supervise.handle import WorkerHandle
from ..pipeline.supervise.limits import Limits
from ..pipeline.supervise.stint import Stint
from .task import task_of

__all__ = ["TaskLimits"]


class TaskLimits(Limits):
    """The limits of an executor: those of its calls."""

    def note(self, timeout: float | None) -> None:
        """Calls may have this limit from now on."""
        if timeout is not None and (self.shortest is None or timeout < self.shortest):
            self.shortest = timeout

    def of_item(self, handle: WorkerHandle) -> float:
        """Seconds that the call may take that the worker is at."""
        origin = handle.origin
        limit = None if origin is None else task_of(origin).options.timeout
        return math.inf if limit is None else limit

    def due(self, handle: WorkerHandle) -> tuple[float, Stint]:
        """When the worker will have taken too long for what it is at, and what that is."""
        due, stint = super().due(handle)
        if stint is Stint.ITEM and handle.has_results():
            return math.inf, stint  # it is at another call than the one that its results are taken for
        return due, stint
