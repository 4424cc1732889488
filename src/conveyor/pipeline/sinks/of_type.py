"""TypeSink: makes all values into one collection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .sink import PlainSink

__all__ = ["TypeSink"]


class TypeSink(PlainSink):
    """Makes a tuple, a set, a dict or the like of all values.

    Args:
        make: the type.
    """

    def __init__(self, make: Callable[[list[Any]], Any]) -> None:
        self._make = make
        self._values: list[Any] = []

    def take(self, values: list[Any]) -> int:
        """Take all."""
        self._values += values
        return len(values)

    @property
    def result(self) -> Any:
        """The tuple, set or dict."""
        return self._make(self._values)
