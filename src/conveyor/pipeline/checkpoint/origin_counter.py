"""OriginCounter: when everything that came of an item of the source has reached an end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..flow.lineage import Lineage

__all__ = ["PLACES", "OriginCounter", "places"]

PLACES = 1 << 40
"""Each source of a run has so many places of its own: those of the first begin at 0, of the second at this."""


class OriginCounter:
    """Counts, for each item of the source, the values that came of it and are still under way.

    When none is left, the item is done.
    """

    resumed = 0
    """Items that earlier runs have dealt with."""

    def __init__(self) -> None:
        self._live: dict[int, int] = {}

    def begin(self, origins: list[int]) -> None:
        """These items have come out of the source."""
        self._live.update(dict.fromkeys(origins, 1))

    def fanned_out(self, origin: Any, count: int) -> None:
        """A value that came of these items became so many, 0 included.

        Args:
            origin: an item's place, or a lineage.
            count: how many values there are instead.
        """
        if isinstance(origin, Lineage):
            origin.live += count - 1
            if not origin.live:
                self.lineage_done(origin)
                for one in origin.origins:
                    self.fanned_out(one, 0)
            return
        live = self._live[origin] + count - 1
        if live:
            self._live[origin] = live
        else:
            del self._live[origin]
            self.item_done(origin)

    def lineage_done(self, lineage: Lineage) -> None:
        """Nothing that came of these items together is under way any more."""

    def item_done(self, number: int) -> None:
        """Nothing that came of this item is under way any more."""
        raise NotImplementedError

    def commit(self, now: float, force: bool = False) -> None:
        """Make it last that items are done, if it is time to."""
        raise NotImplementedError

    def deadline(self) -> float | None:
        """When `commit` has something to do, though nothing happens; None: that can wait."""
        return None

    def close(self) -> None:
        """The run has ended."""
        raise NotImplementedError


def places(origin: Any) -> Iterator[int]:
    """The places in the source that an origin stands for."""
    if isinstance(origin, Lineage):
        for one in origin.origins:
            yield from places(one)
    else:
        yield origin
