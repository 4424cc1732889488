"""CallSink: calls a function with each value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .sink import PlainSink

__all__ = ["CallSink"]


class CallSink(PlainSink):
    """Calls a function with each value.

    Args:
        function: the function; what it returns does not matter.
    """

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self._function = function

    def take(self, values: list[Any]) -> int:
        """Take all."""
        function = self._function
        for value in values:
            function(value)
        return len(values)
