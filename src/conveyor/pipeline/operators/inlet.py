"""Inlet: what has come from one of several sources, until it is taken where they meet."""

from __future__ import annotations

from typing import Any

from .join import Join
from .node import ROOM, Origins

__all__ = ["Inlet"]


class Inlet(Join):
    """One of the inputs of a step at which several sources meet. It passes nothing on: that step takes from it."""

    discards = False
    """Whether what comes is dropped, and not dealt with."""

    def demand(self) -> int:
        """As much as is wanted behind the meeting, so that a source is read no further than that."""
        assert self.outlet is not None
        return ROOM if self.discards else max(min(self.outlet.demand(), ROOM) - self.held, 0)

    def push(self, values: list[Any], origins: Origins) -> None:
        """Take values."""
        self.taken += len(values)
        if not self.discards:
            self._emit(values, origins)

    def take(self, most: int) -> tuple[list[Any], Origins]:
        """The next values, at most so many."""
        values, origins, at = self._out, self._out_origins, self._at
        if at == 0 and most >= len(values):
            self._out, self._out_origins = [], None
        else:
            values = values[at : at + most]
            origins = None if origins is None else origins[at : at + most]
            self._at += len(values)
            if self._at == len(self._out):
                self._out, self._out_origins, self._at = [], None, 0
        self.given += len(values)
        return values, origins

    def discard(self) -> None:
        """Drop what is here, and what will come."""
        self.discards = True
        self._out, self._out_origins, self._at = [], None, 0

    @property
    def has_ended(self) -> bool:
        """Whether nothing is here and nothing will come."""
        return self.inlets == 0 and not self._out

    def to_give(self) -> float:
        """Values that it will give, as far as that is known."""
        return self.held + self.coming()

    @property
    def held_up(self) -> bool:
        """Whether values are here; where they meet it is known whether they can be taken."""
        return False

    def advance(self, now: float) -> bool:
        """Nothing: what is here is taken."""
        return False
