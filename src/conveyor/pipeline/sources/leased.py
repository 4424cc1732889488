"""LeaseSource: the items of a queue under lease, so that none is lost with the run that took it."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from ...errors import BrokerUnreachable, Empty, LeaseLost, ShutDown
from ..host.forking import start_thread
from .buffered import BufferedSource

__all__ = ["LeaseSource"]

# An answer to "is the run over?" is not waited for longer than this by a thread that waits for items.
_LOOK_SECONDS = 0.5
_MOST = 4000


class LeaseSource(BufferedSource):
    """The items of a queue, leased in a thread of its own, no further than they are wanted.

    A lease lasts as long as this process, or until it is settled: a slow item is not given to anybody else meanwhile.

    Args:
        queue: the queue.
        tell: called, in that thread, when there are items again, and at the end.
    """

    def __init__(self, queue: Any, tell: Callable[[], None]) -> None:
        super().__init__(tell)
        self._queue = queue
        self._more = threading.Condition()
        self._closed = False
        self._thread: threading.Thread | None = None
        self._leases: dict[int, Any] = {}
        self._waiting: deque[Any] = deque()  # the leases of `_items`
        self._next = 0
        self._group: Callable[[list[Any]], Any] = list

    def fill(self, want: int) -> None:
        """Have so many items leased; what the queue raised comes after what it gave."""
        self._raise()
        with self._more:
            self._wanted = want
            if self._thread is None:
                self._thread = start_thread("conveyor source", self._fetch)
            self._more.notify()

    def _fetch(self) -> None:
        # A consumer without a timeout waits as long for a broker that is away.
        patience: float = getattr(self._queue, "reconnect_seconds", 0.0)
        away_since: float | None = None
        try:
            while (want := self._is_wanted()) > 0:
                try:
                    leases = self._queue.lease_many(min(want, _MOST), _LOOK_SECONDS, math.inf)
                except Empty:
                    away_since = None
                    continue
                except BrokerUnreachable:
                    now = time.monotonic()
                    away_since = away_since or now
                    if now - away_since < patience:
                        continue
                    raise
                away_since = None
                self._group = type(leases)
                with self._more:
                    late = self._closed
                    if not late:
                        self._waiting.extend(leases)
                if late:
                    for lease in leases:
                        with contextlib.suppress(LeaseLost):
                            lease.release()
                    break
                self._put_all(leases.items)
        except ShutDown:
            self._end()
        except BaseException as error:
            self._end(error)
        else:
            self._end()

    def _put_all(self, items: list[Any]) -> None:
        was_empty = not self._items
        self._items.extend(items)
        if was_empty:
            self._tell()

    def _is_wanted(self) -> int:
        """How many items are wanted now; 0: none any more."""
        with self._more:
            while len(self._items) >= self._wanted and not self._closed:
                self._more.wait()
            return 0 if self._closed else self._wanted - len(self._items)

    def take(self, limit: int) -> list[Any]:
        """Hand out up to `limit` of the items at hand; their places count from 0."""
        items = super().take(limit)
        for number in range(self._next, self._next + len(items)):
            self._leases[number] = self._waiting.popleft()
        self._next += len(items)
        return items

    def stop(self) -> None:
        """Lease nothing more; safe in a signal handler, for who waits here is not fetching."""
        self._closed = True

    def close(self) -> None:
        """Nothing more is wanted. A thread that waits for items ends within half a second."""
        with self._more:
            self._closed = True
            self._more.notify()
        thread = self._thread
        if thread is None:
            self._ended = True
        elif thread is not threading.current_thread():
            thread.join()

    # -- what becomes of them --------------------------------------------------------------------------------

    def acknowledge(self, numbers: list[int]) -> None:
        """These are dealt with. One whose lease is over was given to somebody else, who will do it once more."""
        leases = [lease for number in numbers if (lease := self._leases.pop(number, None)) is not None]
        if leases:
            with contextlib.suppress(LeaseLost):
                self._group(leases).acknowledge()

    def reject(self, number: int, reason: str) -> bool:
        """This one is given up: it goes to the dead letters of its queue. True: all items are leased."""
        lease = self._leases.pop(number, None)
        if lease is not None:
            with contextlib.suppress(LeaseLost):
                lease.reject(reason)
        return True

    def give_back(self) -> None:
        """All that are not settled go back to their queue."""
        rest = [*self._leases.values(), *self._waiting]
        self._leases.clear()
        self._waiting.clear()
        self._items.clear()
        for lease in rest:
            with contextlib.suppress(LeaseLost):
                lease.release()
