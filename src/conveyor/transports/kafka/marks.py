"""What a group knows of the items behind the offset that it commits: the metadata of that commit.

One letter for each item from that offset on, with a number behind for so many of the same in a row:

    .       nobody has had it
    +       it is settled
    a ...   leased, and came back before: a not once, b once ...
    B ...   waits, and came back before: B once, C twice ...

Before that stands the mark of the queue that it is said of: a queue of the same name that was removed had another.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

__all__ = ["MOST_AHEAD", "MOST_COUNTED", "Marks"]

MOST_AHEAD = 4000
"""How many items behind the oldest that is not settled may be handed out: the metadata of a commit has 4096 bytes."""
MOST_COUNTED = 25
"""Attempts that are counted; after that it stays."""
_RUN = re.compile(r"([.+a-zA-Z])(\d*)")
_REPEATED = re.compile(r"(.)\1+")
_SETTLED, _LEASED, _RETURNED = b"+aA"


def _counted(run: re.Match[str]) -> str:
    return f"{run[1]}{run.end() - run.start()}"


class Marks(NamedTuple):
    """What the metadata says, by the offset."""

    settled: frozenset[int] | set[int]
    leased: Mapping[int, int]
    """With the attempts before."""
    returned: Mapping[int, int]
    """Those that wait and were leased before, with the attempts."""

    def dump(self, mark: str, low: int) -> str:
        """As text, from the offset `low` on."""
        span = max((max(offsets) + 1 for offsets in self if offsets), default=low) - low
        letters = bytearray(b"." * span)
        for offset in self.settled:
            letters[offset - low] = _SETTLED
        for first, counts in ((_LEASED, self.leased), (_RETURNED, self.returned)):
            for offset, count in counts.items():
                letters[offset - low] = first + min(count, MOST_COUNTED)
        return f"{mark}:{_REPEATED.sub(_counted, letters.decode('ascii'))}"

    @classmethod
    def load(cls, text: str, mark: str, low: int) -> Marks | None:
        """What `dump` wrote of this queue; None: it is of another."""
        found, colon, letters = text.partition(":")
        if not colon or found != mark:
            return None
        settled: set[int] = set()
        leased: dict[int, int] = {}
        returned: dict[int, int] = {}
        offset = low
        for letter, digits in _RUN.findall(letters):
            times = int(digits or 1)
            some = range(offset, offset + times)
            if letter == "+":
                settled.update(some)
            elif letter.islower():
                leased.update(dict.fromkeys(some, ord(letter) - 97))
            elif letter != ".":
                returned.update(dict.fromkeys(some, ord(letter) - 65))
            offset += times
        return cls(settled, leased, returned)

    def counts(self, low: int, end: int) -> tuple[int, int]:
        """How many items wait and are leased, of those from `low` to before `end`."""
        settled = _between(self.settled, low, end)
        leased = _between(self.leased, low, end)
        return max(end - low, 0) - settled - leased, leased


def _between(offsets: Iterable[int], low: int, end: int) -> int:
    return sum(low <= offset < end for offset in offsets)
