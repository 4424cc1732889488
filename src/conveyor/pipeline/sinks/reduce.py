"""ReduceSink: merges all values into one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .sink import PlainSink

__all__ = ["ReduceSink"]


class ReduceSink(PlainSink):
    """Merges all values into one.

    Args:
        merge: called with what there is so far and a value; returns what there is then.
        initial: what there is before the first.
    """

    def __init__(self, merge: Callable[[Any, Any], Any], initial: Any) -> None:
        self._merge = merge
        self.result = initial

    def take(self, values: list[Any]) -> int:
        """Take all."""
        merge, result = self._merge, self.result
        for value in values:
            result = merge(result, value)
        self.result = result
        return len(values)
