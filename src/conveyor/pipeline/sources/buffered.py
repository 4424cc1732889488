"""BufferedSource: what sources that are read elsewhere than in the engine's thread have in common."""

from __future__ import annotations

import re
import sys
from collections import deque
from collections.abc import Callable
from typing import Any

__all__ = ["BufferedSource"]

# What those say who find that they are used in another thread than the one that made them.
_OF_THREADS = re.compile(r"\bthreads?\b", re.IGNORECASE)


class BufferedSource:
    """What a thread or a coroutine puts in and the engine takes out."""

    def __init__(self, tell: Callable[[], None]) -> None:
        self._items: deque[Any] = deque()
        self._tell = tell
        self._wanted = 0
        self._ended = False
        self._error: BaseException | None = None
        self.total: int | None = None
        """How many items there are in all, if that is known."""

    def fileno(self) -> None:
        """None: the engine is told."""

    @property
    def available(self) -> int:
        """Items that `take` can hand out now."""
        return len(self._items)

    @property
    def exhausted(self) -> bool:
        """Whether nothing more will come."""
        return self._ended and self._error is None and not self._items

    def stop(self) -> None:
        """Begin to fetch nothing more; safe in a signal handler."""

    fetching = False
    """Whether an item is being fetched, which nobody could give back. A coroutine that is cancelled has given none."""

    def take(self, limit: int) -> list[Any]:
        """Hand out up to `limit` of the items at hand."""
        items = self._items
        return [items.popleft() for _ in range(min(limit, len(items)))]

    def _raise(self) -> None:
        if self._ended and not self._items and self._error is not None:
            error, self._error = self._error, None
            raise error

    def _put(self, item: Any) -> None:
        self._items.append(item)
        if len(self._items) == 1:
            self._tell()

    def _end(self, error: BaseException | None = None) -> None:
        if error is not None:
            _explain(error)
        self._error = error
        self._ended = True
        self._tell()


def _explain(error: BaseException) -> None:
    """Note on what a source raised what somebody has to know who expects it to be read where it was made."""
    asyncio = sys.modules.get("asyncio")
    if asyncio is not None and isinstance(error, asyncio.CancelledError):
        error.add_note("raised by the source: something that it awaited was cancelled, and not the run")
    elif _OF_THREADS.search(str(error)):
        error.add_note(
            "the source is read in a thread of its own; what may only be used in the thread that made it, such as a "
            "database connection, is to be made there: give a generator function that makes it, as in Pipeline(rows)"
        )
