"""Chunk: items that follow each other in a stage's input and travel together."""

from __future__ import annotations

from typing import Any

from ..base.weight import weigh

__all__ = ["ABANDONED", "NO_RESULT", "Chunk", "MultiResult"]


class _Gap:
    def __repr__(self) -> str:
        return "NO_RESULT"


NO_RESULT = _Gap()
"""Stands among the results for an item that has none: it failed, or was filtered out."""


ABANDONED = _Gap()
"""In the place of `NO_RESULT` when a failure ends the run: the item is not dealt with, and a later run may be."""


class MultiResult(list[Any]):
    """Stands among the results for an item that has more than one."""

    __slots__ = ()


class Chunk:
    """Items `start`, `start + 1`, … of the input, and as many of their results as have come.

    Args:
        start: the first item's place in the input, from 0.
        items: the items.
        origins: for each item, what of the source it came from; None: nobody keeps account of that.
    """

    __slots__ = (
        "attempts",
        "count",
        "items",
        "origins",
        "partial_results",
        "partial_results_released",
        "released",
        "results",
        "special",
        "start",
        "state",
        "weight",
    )

    def __init__(self, start: int, items: list[Any], origins: list[Any] | None = None) -> None:
        self.start = start
        self.items = items
        self.origins = origins
        self.count = len(items)
        self.state: Any = None
        """Where it is, while it misses results: an `ItemState`, kept by the ledger."""
        self.attempts = 0
        """How often its item was tried and failed; items that are tried again are chunks of their own."""
        self.results: list[Any] = []
        """Results so far, in order; `NO_RESULT` and `MultiResult` among them."""
        self.special = False
        """Whether any of the results is `NO_RESULT` or `MultiResult`."""
        self.partial_results: list[Any] = []
        """The first results of the item that is worked on, if it has very many."""
        self.partial_results_released = False
        """Whether some of that item's results have been handed out."""
        self.released = 0
        """How many of the results have been handed out."""
        self.weight = weigh(items)
        """About the bytes that this chunk holds, results included."""

    @property
    def missing(self) -> int:
        """Items without a result so far."""
        return self.count - len(self.results)

    @property
    def next_number(self) -> int:
        """The place of the next item that gets a result."""
        return self.start + len(self.results)

    def add(self, values: list[Any], weight: int, special: bool = False) -> None:
        """Add the results of the next items."""
        self.results += values
        self.special = self.special or special
        self.weight += weight
        self.partial_results_released = False
        if len(self.results) == self.count:
            self.items = []  # nobody will ask for them again

    def end_with(self, verdict: Any) -> None:
        """The next item has failed for good: this takes the place of its result."""
        nothing = verdict is NO_RESULT or verdict is ABANDONED
        self.add([NO_RESULT if nothing else verdict], 0, special=nothing)

    def item(self, number: int) -> Any:
        """The item at that place of the input; only while the chunk still misses results."""
        return self.items[number - self.start]

    def split(self, number: int) -> Chunk:
        """Cut off the items from place `number` on, which have no results yet, as a chunk of their own."""
        at = number - self.start
        assert len(self.results) <= at <= self.count, (self.start, self.count, number)
        rest = Chunk(number, self.items[at:], None if self.origins is None else self.origins[at:])
        rest.state = self.state
        del self.items[at:]
        if self.origins is not None:
            del self.origins[at:]
        if at == len(self.results):  # the item that is worked on is the rest's
            rest.partial_results, self.partial_results = self.partial_results, []
            rest.partial_results_released, self.partial_results_released = (
                self.partial_results_released,
                False,
            )
        self.count = at
        rest.weight = min(rest.weight, self.weight)  # both are guesses by a sample, and none may be negative
        self.weight -= rest.weight
        if len(self.results) == self.count:
            self.items = []
        return rest

    def release(self) -> tuple[list[Any], list[Any] | None]:
        """The results that have come since the last call, and for each its origin if they are known.

        Both lists are the caller's.
        """
        at = self.released
        self.released = len(self.results)
        # A copy if more will be added: what is handed out becomes another stage's list of items.
        fresh = self.results[at:] if at or self.missing else self.results
        origins = None if self.origins is None else self.origins[at : self.released]
        if self.special:
            fresh, origins = _flatten(fresh, origins)
        if self.partial_results:
            if origins is not None and self.origins is not None:
                origins = [*origins, *[self.origins[len(self.results)]] * len(self.partial_results)]
            fresh = [*fresh, *self.partial_results]
            self.partial_results = []
            self.partial_results_released = True
        return fresh, origins


def _flatten(entries: list[Any], origins: list[Any] | None) -> tuple[list[Any], list[Any] | None]:
    values: list[Any] = []
    if origins is None:
        for entry in entries:
            if type(entry) is MultiResult:
                values += entry
            elif entry is not NO_RESULT:
                values.append(entry)
        return values, None
    whose: list[Any] = []
    for entry, origin in zip(entries, origins, strict=True):
        if type(entry) is MultiResult:
            values += entry
            whose += [origin] * len(entry)
        elif entry is not NO_RESULT:
            values.append(entry)
            whose.append(origin)
    return values, whose
