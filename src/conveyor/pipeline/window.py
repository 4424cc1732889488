"""Window: what has been taken from the input and not handed out yet; puts results into order."""

from __future__ import annotations

from typing import Any

from .run import Run

__all__ = ["Window"]


class Window:
    """The runs between the input's end and the output's, bounded in items and in bytes.

    Args:
        ordered: hand results out in the order of the input; else as they come.
        max_items: no new input is taken while as many items are held.
        max_bytes: no new input is taken while about as many bytes are held.
    """

    def __init__(self, ordered: bool, max_items: int, max_bytes: int) -> None:
        self._ordered = ordered
        self._max_items = max_items
        self._max_bytes = max_bytes
        self._runs: dict[int, Run] = {}
        self._next = 0
        self._touched: list[Run] = []
        self._items = 0
        self._bytes = 0
        self.released = 0
        """Results handed out so far."""

    @property
    def room(self) -> int:
        """How many more items may be taken now."""
        return max(self._max_items - self._items, 0) if self._bytes < self._max_bytes else 0

    @property
    def pending(self) -> int:
        """Results that wait for those of earlier items."""
        return sum(len(run.results) - run.released for run in self._runs.values())

    def add(self, run: Run) -> None:
        """Hold a run that was taken from the input."""
        self._runs[run.start] = run
        self._items += run.count
        self._bytes += run.weight

    def split(self, run: Run, number: int) -> Run:
        """Split a run that is held; both parts are held then."""
        rest = run.split(number)
        self._runs[rest.start] = rest
        return rest

    def grown(self, run: Run, by: int) -> None:
        """Note that a run got results, and `by` bytes heavier."""
        self._bytes += by
        if not self._ordered:
            self._touched.append(run)

    def release(self) -> list[Any]:
        """Results whose turn has come."""
        values: list[Any] = []
        if self._ordered:
            while (run := self._runs.get(self._next)) is not None:
                values += run.release()
                if run.missing:
                    break
                self._next += run.count
                self._forget(run)
        else:
            for run in self._touched:
                if run.start in self._runs:
                    values += run.release()
                    if not run.missing:
                        self._forget(run)
            self._touched.clear()
        self.released += len(values)
        return values

    def flush(self) -> list[Any]:
        """All results that are there, in the input's order, over those that will never come."""
        values: list[Any] = []
        for start in sorted(self._runs):
            run = self._runs[start]
            values += run.release()
            self._forget(run)
        self.released += len(values)
        return values

    def _forget(self, run: Run) -> None:
        del self._runs[run.start]
        self._items -= run.count
        self._bytes -= run.weight
