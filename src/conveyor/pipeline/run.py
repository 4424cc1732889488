"""Run: items that follow each other in the input and travel together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["GAP", "Run", "weigh"]


class _Gap:
    def __repr__(self) -> str:
        return "GAP"


GAP = _Gap()
"""Stands among the results for an item that has none, because it failed."""


def weigh(values: Sequence[Any]) -> int:
    """About how many bytes of content these plain values hold; for bounds, not for accounts."""
    try:
        return sum(map(len, values))
    except TypeError:  # not all are texts
        return sum(len(value) if isinstance(value, str | bytes) else 8 for value in values)


class Run:
    """Items `start`, `start + 1`, … of the input, and as many of their results as have come.

    Args:
        start: the first item's place in the input, from 0.
        items: the items.
    """

    __slots__ = ("count", "gaps", "items", "released", "results", "start", "weight")

    def __init__(self, start: int, items: list[Any]) -> None:
        self.start = start
        self.items = items
        self.count = len(items)
        self.results: list[Any] = []
        """Results so far, in order; `GAP` for an item that failed."""
        self.gaps = 0
        """How many of the results are `GAP`."""
        self.released = 0
        """How many of the results have been handed out."""
        self.weight = weigh(items)
        """About the bytes that this run holds, results included."""

    @property
    def missing(self) -> int:
        """Items without a result so far."""
        return self.count - len(self.results)

    def add(self, values: list[Any], gaps: int, weight: int) -> None:
        """Add the results of the next items."""
        self.results += values
        self.gaps += gaps
        self.weight += weight
        if len(self.results) == self.count:
            self.items = []  # nobody will ask for them again

    def item(self, number: int) -> Any:
        """The item at that place of the input; only while the run still misses results."""
        return self.items[number - self.start]

    def split(self, number: int) -> Run:
        """Cut off the items from place `number` on, which have no results yet, as a run of their own."""
        at = number - self.start
        assert len(self.results) <= at < self.count, (self.start, self.count, number)
        rest = Run(number, self.items[at:])
        del self.items[at:]
        self.count = at
        self.weight -= rest.weight
        if len(self.results) == self.count:
            self.items = []
        return rest

    def release(self) -> list[Any]:
        """The results that have come since the last call, without gaps; the list is not yours to change."""
        values = self.results[self.released :] if self.released else self.results
        self.released = len(self.results)
        return [value for value in values if value is not GAP] if self.gaps else values
