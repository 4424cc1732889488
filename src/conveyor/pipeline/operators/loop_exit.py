"""LoopExit: where values come out of a loop, or go back to its beginning."""

from __future__ import annotations

from typing import Any

from ..base.again import Again
from .join import Join
from .loop_entry import LoopEntry
from .node import Origins

__all__ = ["LoopExit"]


class LoopExit(Join):
    """Sends back what is an `Again`, and passes on all else.

    Args:
        stage: its name.
        entry: where the loop begins.
    """

    def __init__(self, stage: str, entry: LoopEntry) -> None:
        super().__init__(stage)
        self._entry = entry

    def push(self, values: list[Any], origins: Origins) -> None:
        """Take what comes out of the last stage of the loop."""
        self.taken += len(values)
        if Again not in set(map(type, values)):
            self._emit(values, origins)
            return
        back = [value.item for value in values if type(value) is Again]
        on = [value for value in values if type(value) is not Again]
        if origins is None:
            self._entry.feed(back, None)
            self._emit(on, None)
            return
        pairs = list(zip(values, origins, strict=True))
        self._entry.feed(back, [origin for value, origin in pairs if type(value) is Again])
        self._emit(on, [origin for value, origin in pairs if type(value) is not Again])
