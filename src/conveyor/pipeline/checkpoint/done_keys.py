"""DoneKeys: which items of a source with keys are dealt with, now or by earlier runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["DoneKeys"]


class DoneKeys:
    """Of one source of a run.

    Keys that were written are looked up where they are; in memory are those of items that are under way, or were done
    since the last transaction.

    Args:
        digest: of an item, what is kept of its key.
        written: which of some were written.
    """

    def __init__(self, digest: Callable[[Any], bytes], written: Callable[[list[bytes]], set[bytes]]) -> None:
        self._digest = digest
        self._written = written
        self._under_way: dict[int, bytes] = {}  # by the item's place in this run
        self._taken: set[bytes] = set()
        self._done: list[bytes] = []

    def unfinished(self, numbers: list[int], values: list[Any]) -> list[int]:
        """Those of these places in this run that have items whose keys are new."""
        digests = list(map(self._digest, values))
        written = self._written(digests)
        found: list[int] = []
        for number, digest in zip(numbers, digests, strict=True):
            if digest not in self._taken and digest not in written:
                self._taken.add(digest)
                self._under_way[number] = digest
                found.append(number)
        return found

    def item_done(self, number: int) -> None:
        """Nothing that came of this item is under way any more."""
        self._done.append(self._under_way.pop(number))

    def to_write(self) -> list[bytes]:
        """What was done since it was last written."""
        return self._done

    def written(self) -> None:
        """That has been written."""
        self._taken.difference_update(self._done)
        self._done = []
