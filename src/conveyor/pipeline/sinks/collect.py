"""CollectSink: puts values into a list or the like."""

from __future__ import annotations

from typing import Any

from .sink import PlainSink

__all__ = ["CollectSink"]


class CollectSink(PlainSink):
    """Puts values into a list, or whatever has `extend`, `update` or `append`.

    Args:
        into: the list; it is also the result.
    """

    def __init__(self, into: Any) -> None:
        self.result = into
        self._add = getattr(into, "extend", None) or getattr(into, "update", None)

    def take(self, values: list[Any]) -> int:
        """Take all."""
        assert self._add is not None
        self._add(values)
        return len(values)
