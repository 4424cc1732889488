"""Join: where branches meet."""

from __future__ import annotations

from typing import Any

from .node import ROOM, Node, Origins

__all__ = ["Join"]


class Join(Node):
    """Where branches meet."""

    def demand(self) -> int:
        """Whatever there is, when all is gone."""
        return 0 if self.blocked else ROOM

    def push(self, values: list[Any], origins: Origins) -> None:
        """Take values."""
        self.taken += len(values)
        self._emit(values, origins)
