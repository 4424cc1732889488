"""What the server has been told of messages, and what it must still be told."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from time import monotonic

from .pulls import Tag
from .wire import Wire

__all__ = ["ACK", "NAK", "TERM", "Owed", "nak", "tell"]

ACK, NAK, TERM = b"+ACK", b"-NAK", b"+TERM"
_MOST_AT_ONCE = 1000


def nak(seconds: float) -> bytes:
    """It comes back after so many seconds, unless it is acknowledged before."""
    return b'-NAK {"delay": %d}' % max(int(min(seconds, 1e9) * 1e9), 1)


async def tell(wire: Wire, tags: Sequence[Tag], word: bytes) -> None:
    """Tell the server what becomes of them; it knows when this returns."""
    for tag in tags[:-1]:
        wire.say(tag.reply, word)
    await wire.ask(tags[-1].reply, word)  # it reads them one after the other


class Owed:
    """What was taken for good, and the server has not said yet that it knows. It outlives a connection."""

    def __init__(self) -> None:
        self._tags: deque[Tag] = deque()
        self._turn = asyncio.Lock()
        self._in_doubt = 0
        # Seconds for each, at the server: one that waits for its disk takes a millisecond.
        self._each = 0.001

    def __len__(self) -> int:
        return len(self._tags) + self._in_doubt

    def most(self, seconds: float) -> int:
        """How many messages can be settled at the server in that time, judged by how long it took before."""
        return max(int(seconds / self._each), 1)

    def add(self, tags: Sequence[Tag]) -> None:
        """More of it; any thread may say so."""
        self._tags.extend(tags)

    def clear(self) -> None:
        """Forget it: it is another process's."""
        self._tags.clear()

    def begin(self) -> None:
        """A new connection, and another loop."""
        self._turn = asyncio.Lock()

    @property
    def is_being_paid(self) -> bool:
        """Whether the server is being told, and what was added meanwhile as well."""
        return self._turn.locked()

    async def pay(self, wire: Wire) -> None:
        """Tell the server of all; it knows when this returns."""
        while self:
            async with self._turn:
                some = [self._tags.popleft() for _ in range(min(len(self._tags), _MOST_AT_ONCE))]
                if not some:
                    continue
                self._in_doubt = len(some)
                began = monotonic()
                try:
                    await tell(wire, some, ACK)
                except BaseException:
                    self._tags.extendleft(reversed(some))  # once more, by the next connection
                    raise
                finally:
                    self._in_doubt = 0
                self._each += 0.3 * ((monotonic() - began) / len(some) - self._each)
