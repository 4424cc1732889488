"""MemoryStore: where a simulated run keeps what is done; looks whether it is."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from conveyor.pipeline.testing.broken import Broken

if TYPE_CHECKING:
    from random_case import Case


class MemoryStore:
    """Keeps the ranges of places that are done.

    Args:
        case: whose.
    """

    def __init__(self, case: Case) -> None:
        self._case = case
        self.starts: list[int] = []
        self.ends: list[int] = []
        self.state: bytes | None = None

    def done(self) -> list[int]:
        return [
            place for start, end in zip(self.starts, self.ends, strict=True) for place in range(start, end)
        ]

    def write(self, starts: list[int], ends: list[int], state: bytes | None, keys: object) -> None:
        self.starts, self.ends = list(starts), list(ends)
        case = self._case
        there = Counter(case.texts())
        for place in self.done():
            value = case.source[place]
            if case.is_lost(value):
                raise Broken(f"item {place} ended the run, and is said to be done")
            missing = Counter(case.expected(value)) - there
            missing = Counter({one: count for one, count in missing.items() if not one.startswith("!")})
            if missing:
                raise Broken(f"item {place} is said to be done, and the sink has not got {list(missing)}")

    def close(self) -> None:
        pass
