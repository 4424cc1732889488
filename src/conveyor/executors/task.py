"""Task: one call, as the engine of an executor sees it when something is to be decided about it."""

from __future__ import annotations

from typing import Any, Protocol, cast

from .map_call import MapItem
from .task_options import TaskOptions

__all__ = ["Task", "task_of"]


class Task(Protocol):
    """One call."""

    options: TaskOptions
    """How it is made."""

    @property
    def wanted(self) -> bool:
        """Whether anybody still wants what comes of it."""
        ...

    def fail(self, error: BaseException) -> None:
        """It will not be made: it fails with this."""
        ...


def task_of(origin: Any) -> Task:
    """The call that an item of the engine is of: its origin is the future, or stands for one call of `map`."""
    return MapItem(*cast("tuple[Any, int]", origin)) if type(origin) is tuple else cast("Task", origin)
