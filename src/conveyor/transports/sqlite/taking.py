"""Taking items from the file, and their coming back."""

# pyright: reportPrivateUsage=false
# Event counts and locks of the core have methods for the package's own use.
from __future__ import annotations

from collections.abc import Callable
from time import monotonic, monotonic_ns, time
from typing import Any

from ..._memory.owner import pid_of
from ..._native import _is_alive
from ...errors import TooManyLeases
from ..port import Delivery, Message
from .coordination import (
    BYTES,
    BYTES_OUT,
    CURSOR,
    DELAYED,
    DUE,
    END,
    ENDED,
    FREE,
    HEAP,
    ITEMS_OUT,
    LEASED,
    LOOKED,
    NEVER,
    READY,
    REDELIVERED,
    REMOVED,
    SLOTS,
    Coordination,
)
from .section import Section

__all__ = ["Taking"]

# So often does a call that takes or waits look whether the holders of leases live.
_LOOK_NANOSECONDS = 200_000_000

_Row = tuple[int, bytes, int, int, str | None, int | None]


class Taking(Section):
    """The part of the backend that takes and leases."""

    def take(self, most: int, wait: float) -> list[Delivery]:
        def take(at: Coordination) -> tuple[list[Delivery], int]:
            rows = self._pick(at, most, True)
            if not rows:
                return [], 0
            words = at.words
            words[ITEMS_OUT] += len(rows)
            words[BYTES_OUT] += sum(len(row[1]) for row in rows)
            return [self._delivery(row, None) for row in rows], self._store.committed(0)

        deliveries, commit = self._wait_for(take, wait)
        if deliveries:
            self._store.make_durable(commit)
        return deliveries

    def lease(self, most: int, wait: float, seconds: float | None) -> list[Delivery]:
        def lease(at: Coordination) -> tuple[list[Delivery], int]:
            free = at.words[FREE]
            if not free:
                raise TooManyLeases(f"{SLOTS} items are leased already")
            rows = self._pick(at, min(most, free), False)
            until = NEVER if seconds is None else monotonic_ns() + int(seconds * 1e9)
            return [self._delivery(row, (at.hold(row[0], until), row[0], until)) for row in rows], 0

        return self._wait_for(lease, wait)[0]

    def peek(self, most: int) -> list[Delivery]:
        def look(at: Coordination) -> list[Delivery]:
            words, store = at.words, self._store
            if words[LEASED] or words[DELAYED]:
                self._come_back(at)
            sql, cursor = store.statements, store.cursor
            rows: list[_Row] = []
            for number in sorted(at.heap[: words[HEAP]].tolist()):
                if len(rows) == most:
                    break
                rows += cursor.execute(sql.one, (number,)).fetchall()
            rows += cursor.execute(sql.fresh, (words[CURSOR], most - len(rows))).fetchall()
            return [self._delivery(row, None) for row in rows]

        return self._section(look)

    def _delivery(self, row: _Row, tag: Any) -> Delivery:
        kind = row[2]
        name = self._names.get(kind)
        if name is None:
            name = self._name_of(kind)
        return Delivery(row[1], name, tag, row[3], row[4] or "", row[5] or 0)

    def _wait_for(
        self, take: Callable[[Coordination], tuple[list[Delivery], int]], wait: float
    ) -> tuple[list[Delivery], int]:
        until = -1.0
        while True:
            found = self._section(take)
            at = self._at
            if found[0]:
                if self._max_items or self._max_bytes:
                    at.room._notify()
                if at.words[READY]:
                    at.items._notify()
                return found
            if until < 0:
                until = monotonic() + wait
            if not self._sleep(at.items, self._has_items, None, until):
                return [], 0

    def _has_items(self, at: Coordination, _: Message | None) -> bool:
        words = at.words
        return bool(words[READY] or words[ENDED] or words[REMOVED])

    def _pick(self, at: Coordination, most: int, for_good: bool) -> list[_Row]:
        """The next items; with `for_good`, they are not in the database any more."""
        words, store = at.words, self._store
        if words[LEASED] or words[DELAYED]:
            self._come_back(at)
        if not words[READY]:
            return []
        sql = store.statements
        cursor = store.cursor
        if most == 1 and not words[HEAP]:
            if for_good:
                rows: list[_Row] = store.write(sql.take_fresh, (words[CURSOR],))
            else:
                rows = cursor.execute(sql.first, (words[CURSOR],)).fetchall()
            if rows:
                words[CURSOR] = rows[0][0]
        else:
            rows = []
            while len(rows) < most and words[HEAP]:
                rows += cursor.execute(sql.one, (at.pop(),)).fetchall()
            if len(rows) < most:
                fresh = cursor.execute(sql.fresh, (words[CURSOR], most - len(rows))).fetchall()
                if fresh:
                    words[CURSOR] = fresh[-1][0]
                    rows += fresh
            if for_good and rows:
                self._delete([row[0] for row in rows])
        words[READY] -= len(rows)
        words[BYTES] -= sum(len(row[1]) for row in rows)
        return rows

    def _delete(self, numbers: list[int]) -> None:
        store = self._store
        if len(numbers) == 1:
            store.write(store.statements.acknowledge, numbers)
        elif max(numbers) - min(numbers) == len(numbers) - 1:
            store.write(store.statements.acknowledge_run, (min(numbers), max(numbers)))
        else:
            with store.transaction() as connection:
                connection.executemany(store.statements.acknowledge, [(number,) for number in numbers])

    def _come_back(self, at: Coordination) -> None:
        """Bring back what is due, whose lease is over, and what the dead had."""
        words = at.words
        if words[DELAYED] and words[DUE] <= time() * 1e6:
            self._come_due(at)
        if not words[LEASED]:
            return
        now = monotonic_ns()
        if words[END] > now and now - words[LOOKED] < _LOOK_NANOSECONDS:
            return
        words[LOOKED] = now
        alive: dict[int, bool] = {at.me: True}
        following = NEVER
        for slot, number in at.held():
            owner, until = at.owners[slot], at.untils[slot]
            lives = alive.get(owner)
            if lives is None:
                lives = alive[owner] = _is_alive(owner + 2**63)
            if lives and until > now:
                following = min(following, until)
                continue
            why = "the lease was over" if lives else "its process died"
            self._return(at, slot, number, 0.0, True, why, pid_of(owner + 2**63))
        words[END] = following

    def _come_due(self, at: Coordination) -> None:
        words, store = at.words, self._store
        room = SLOTS - words[HEAP]
        rows = store.write(store.statements.come_due, (time(), room))
        for number, size in rows:
            if number <= words[CURSOR]:
                at.push(number)
            words[READY] += 1
            words[BYTES] += size
        delayed, due = store.cursor.execute(store.statements.delayed).fetchone()
        words[DELAYED], words[DUE] = delayed, NEVER if due is None else int(due * 1e6)

    def _return(
        self, at: Coordination, slot: int, number: int, delay: float, counted: bool, error: str, pid: int
    ) -> None:
        """Give back what is leased."""
        words, store = at.words, self._store
        due = time() + delay if delay > 0 else 0.0
        if counted or due:
            store.write(store.statements.fail, (int(counted), error, pid, due, number))
            store.committed(0)
        row = store.cursor.execute(store.statements.one, (number,)).fetchall()
        at.let_go(slot)
        words[REDELIVERED] += counted
        if not row:
            return  # it was dropped meanwhile
        if due:
            words[DELAYED] += 1
            words[DUE] = min(words[DUE], int(due * 1e6))
        else:
            at.push(number)
            words[READY] += 1
            words[BYTES] += len(row[0][1])
