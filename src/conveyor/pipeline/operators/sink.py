"""SinkNode: where values end."""

from __future__ import annotations

from typing import Any

from .node import Origins
from .tee import TeeNode

__all__ = ["SinkNode"]


class SinkNode(TeeNode):
    """Where values end."""

    def pass_by(self, failures: list[Any], origins: Origins) -> None:
        """Failures are no values to be merged."""
        self._seen([], origins)

    def _seen(self, values: list[Any], origins: Origins) -> None:
        self.given += len(values)
        if origins is not None:
            for origin in origins:
                self._context.fanned_out(origin, 0)
