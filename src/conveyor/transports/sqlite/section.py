"""The queue's lock, and what is computed anew when its last holder has left something half-done."""

# pyright: reportPrivateUsage=false
# Event counts and locks of the core have methods for the package's own use.
from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from time import monotonic, monotonic_ns, sleep, time
from typing import Any, TypeVar

from ..._memory.owner import pid_of
from ..port import Backend, Capabilities, ConnectionLost, Message
from ..url import Url
from .coordination import (
    BYTES,
    CURSOR,
    DELAYED,
    DIRTY,
    DUE,
    END,
    ENDED,
    LEASED,
    LOOKED,
    NEVER,
    NEXT,
    READY,
    REDELIVERED,
    REMOVED,
    SLOTS,
    STARVED,
    VOID,
    Coordination,
)
from .store import LOCK_SECONDS, Store

__all__ = ["Section"]

R = TypeVar("R")

# So often does a call that takes or waits look whether the holders of leases live.
_LOOK_SECONDS = 0.2
# Who has waited for the lock for so long goes first, for a while: see `_turn`.
_PATIENCE_SECONDS = 0.001
_STARVED_NANOSECONDS = 5_000_000
_YIELD_SECONDS = 0.00005
_MOST_YIELDS = 20


class Section(Backend):
    """The part of the backend that all others stand on."""

    capabilities = Capabilities(ends_leases=True, sees_end=True, slice_seconds=1.0)

    def __init__(self, url: Url) -> None:
        self._url = url
        self._store = Store(url)
        self._max_items = 0
        self._max_bytes = 0
        self._types: dict[str, int] = {}
        self._names: dict[int, str] = {}

    @property
    def _at(self) -> Coordination:
        at = self._store.coordination
        if at is None:
            raise FileNotFoundError(f"{self._url} does not exist")
        return at

    def _errors(self, call: Callable[[], R]) -> R:
        try:
            return call()
        except sqlite3.Error as error:
            raise self._store.meaning(error) from error

    def _section(self, do: Callable[[Coordination], R]) -> R:
        """What `do` returns, with the queue's lock held. What it leaves half-done is computed anew by the next."""
        store = self._store
        at = store.coordination
        if at is None:
            raise FileNotFoundError(f"{self._url} does not exist")
        words = at.words
        lock = at.lock
        with at.turn, store.in_use:
            if store.connection is None:
                raise ConnectionLost(f"{self._url} is closed")
            try:
                self._turn(words, lock)
                if words[REMOVED]:
                    raise FileNotFoundError(f"{self._url} was removed")
                if words[DIRTY]:
                    self._rebuild(at)
                words[DIRTY] = 1
                result = do(at)
                words[DIRTY] = 0
            except sqlite3.Error as error:
                raise store.meaning(error) from error
            finally:
                # An exception may have come before it was got, or just after. No other thread of this process has it.
                if lock._is_mine():
                    lock.release()
        return result

    def _turn(self, words: Any, lock: Any) -> None:
        """Get the queue's lock.

        A process that releases it and wants it again at once would have it for its whole time slice, some milliseconds:
        a waiter that was woken meanwhile does not run before that ends. So one that has waited for a millisecond says
        so, and the others let it go first, as Go's sync.Mutex does in its starvation mode. What is said is a hint, with
        a time, and may be lost or stay behind: it costs others a few short sleeps at most.
        """
        starved = words[STARVED]
        if starved:
            for _ in range(_MOST_YIELDS):
                if words[STARVED] != starved or not 0 <= monotonic_ns() - starved < _STARVED_NANOSECONDS:
                    break
                sleep(_YIELD_SECONDS)
        if lock.acquire(True, _PATIENCE_SECONDS):
            return
        words[STARVED] = monotonic_ns()
        if not lock.acquire(True, LOCK_SECONDS):
            raise ConnectionLost("a process that was stopped, or hangs, holds the queue's lock")
        words[STARVED] = 0

    def _rebuild(self, at: Coordination) -> None:
        """Compute what follows from the leases and the database; somebody left that half-done."""
        store, words, sql = self._store, at.words, self._store.statements
        cursor = store.cursor
        held = at.held()
        if words[VOID]:
            # All who had something are gone: those were attempts, which have failed.
            with store.transaction() as connection:
                for slot, number in held:
                    pid = pid_of(at.owners[slot] + 2**63)
                    connection.execute(sql.fail, (1, "its process died", pid, 0, number))
            words[REDELIVERED] += len(held)
            for slot, _ in held:
                at.ids[slot] = 0
            held = []
            words[VOID] = 0
            words[LOOKED] = 0
        at.set_free({slot for slot, _ in held})
        words[END] = min((at.untils[slot] for slot, _ in held), default=NEVER)
        leased = {number for _, number in held}
        words[NEXT] = max(words[NEXT], (cursor.execute(sql.largest).fetchone()[0] or 0) + 1)
        numbers = [number for (number,) in cursor.execute(sql.back, (words[CURSOR],)) if number not in leased]
        if len(numbers) > SLOTS:
            # They come back as those that were delayed do, some at a time.
            with store.transaction() as connection:
                connection.executemany(sql.put_off, [(number,) for number in numbers[SLOTS:]])
            del numbers[SLOTS:]
        at.set_heap(numbers)
        count, size = cursor.execute(sql.ready).fetchone()
        for number in leased:
            row = cursor.execute(sql.one, (number,)).fetchone()
            if row is not None:
                count -= 1
                size -= len(row[1])
        words[READY], words[BYTES] = count, int(size)
        delayed, due = cursor.execute(sql.delayed).fetchone()
        words[DELAYED], words[DUE] = delayed, NEVER if due is None else int(due * 1e6)
        record = cursor.execute("SELECT record FROM conveyor_queues WHERE id = ?", (store.number,)).fetchone()
        words[ENDED] = bool(record and record[0] and json.loads(record[0])["ended"])

    # -- waiting

    def _sleep(
        self, count: Any, ready: Callable[[Coordination, Any], bool], message: Message | None, until: float
    ) -> bool:
        """Wait for a change; False: the time is over, or nobody should wait any more."""
        at = self._at
        now = monotonic()
        if now >= until or at.words[ENDED]:
            return False
        words = at.words
        wake = until
        if words[LEASED]:  # whose holders may die, or whose time may end
            wake = min(wake, now + _LOOK_SECONDS)
        if words[DELAYED]:
            wake = min(wake, now + max(words[DUE] / 1e6 - time(), 0.0) + 0.001)
        epoch = count._announce()  # in this order, or a change in between would be slept through
        if not ready(at, message):
            count._sleep(epoch, wake)
        return True

    # -- content types

    def _type_of(self, name: str) -> int:
        """The number of a content type; it is written down with the first item that has it."""
        connection = self._store.connection
        assert connection is not None
        sql = "SELECT id FROM conveyor_types WHERE name = ?"
        row = connection.execute(sql, (name,)).fetchone()
        if row is None:
            self._store.write("INSERT OR IGNORE INTO conveyor_types (name) VALUES (?)", (name,))
            row = connection.execute(sql, (name,)).fetchone()
        self._types[name] = number = int(row[0])
        return number

    def _name_of(self, number: int) -> str:
        connection = self._store.connection
        assert connection is not None
        row = connection.execute("SELECT name FROM conveyor_types WHERE id = ?", (number,)).fetchone()
        self._names[number] = name = "" if row is None else str(row[0])
        return name
