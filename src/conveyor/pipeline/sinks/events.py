"""EventSink: hands values to the iterator over a run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .sink import PlainSink

__all__ = ["EventSink"]


class EventSink(PlainSink):
    """Hands values to whoever iterates over the run.

    Args:
        tell: takes a list of them.
    """

    def __init__(self, tell: Callable[[list[Any]], None]) -> None:
        self._tell = tell

    def take(self, values: list[Any]) -> int:
        """Take all."""
        self._tell(values)
        return len(values)
