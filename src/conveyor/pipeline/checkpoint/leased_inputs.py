"""LeasedInputs: the leases of several sources of a run, by the places of their items."""

from __future__ import annotations

from .acknowledger import LeasedItems
from .origin_counter import PLACES

__all__ = ["LeasedInputs"]


class LeasedInputs:
    """Settles each item with the source that it came from.

    Args:
        sources: those whose items are leased, by their number among the run's sources. All others need no settling.
    """

    def __init__(self, sources: dict[int, LeasedItems]) -> None:
        self._sources = sources

    def acknowledge(self, numbers: list[int]) -> None:
        """These are dealt with; in any thread.

        Raises:
            Exception: what the first of the queues raised that did; the others are told nevertheless.
        """
        of_each: dict[int, list[int]] = {}
        for number in numbers:
            of_each.setdefault(number // PLACES, []).append(number % PLACES)
        error: Exception | None = None
        for which, places in of_each.items():
            if which in self._sources:
                try:
                    self._sources[which].acknowledge(places)
                except Exception as raised:
                    error = error or raised
        if error is not None:
            raise error

    def reject(self, number: int, reason: str) -> bool:
        """This one is given up; returns whether it is of a queue that leases its items."""
        source = self._sources.get(number // PLACES)
        return source is not None and source.reject(number % PLACES, reason)

    def give_back(self) -> None:
        """All that are not settled go back to their queues.

        Raises:
            Exception: what the first of the queues raised that did; the others get theirs nevertheless.
        """
        error: Exception | None = None
        for source in self._sources.values():
            try:
                source.give_back()
            except Exception as raised:
                error = error or raised
        if error is not None:
            raise error
