"""One queue in a SQLite file."""

# pyright: reportPrivateUsage=false
# Event counts and locks of the core have methods for the package's own use.
from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from time import monotonic_ns, time
from typing import Any

from ..._memory.owner import pid_of
from ..._native import _is_alive
from ..port import Delivery, Depth, Message, Settings
from .coordination import (
    BYTES,
    BYTES_IN,
    BYTES_OUT,
    CURSOR,
    DELAYED,
    DUE,
    ENDED,
    HEAP,
    ITEMS_IN,
    ITEMS_OUT,
    LEASED,
    NEVER,
    NEXT,
    READY,
    REDELIVERED,
    REMOVED,
    Coordination,
)
from .putting import Putting
from .taking import Taking

__all__ = ["SqliteBackend"]


class SqliteBackend(Putting, Taking):
    """A queue in a file."""

    # -- connection and record

    def open(self, wait: float) -> None:
        self._store.open(wait)

    def close(self) -> None:
        self._store.close()

    def abandon(self) -> None:
        pass  # forks.py has closed it

    def address(self) -> str:
        return str(self._store.path)

    def read_record(self) -> tuple[bytes, Any] | None:
        store = self._store
        if not store.find():
            return None
        sql = "SELECT record, version FROM conveyor_queues WHERE id = ?"
        with store.in_use:
            row = self._errors(lambda: store.cursor.execute(sql, (store.number,)).fetchone())
        return None if row is None or row[0] is None else (row[0], row[1])

    def write_record(self, record: bytes, version: Any) -> bool:
        store = self._store
        if not store.find():
            store.make()
        sql = "UPDATE conveyor_queues SET record = ?, version = version + 1 WHERE id = ? AND version = ? RETURNING id"

        def write(at: Coordination) -> int:
            if not store.write(sql, (record, store.number, version or 0)):
                return 0
            at.words[ENDED] = json.loads(record)["ended"]
            return store.committed(len(record))

        commit = self._section(write)
        if not commit:
            return False
        at = self._at
        at.items._notify()
        at.room._notify()
        store.make_durable(commit)
        return True

    def declare(self, settings: Settings) -> None:
        self._max_items, self._max_bytes = settings.maxsize, settings.max_bytes

    def destroy(self) -> None:
        store = self._store
        if not store.find():
            raise FileNotFoundError(f"{self._url} does not exist")

        def drop(at: Coordination) -> None:
            with store.transaction() as connection:
                connection.execute(store.statements.drop)
                connection.execute("DELETE FROM conveyor_dead WHERE queue = ?", (store.number,))
                connection.execute("DELETE FROM conveyor_queues WHERE id = ?", (store.number,))
            at.words[REMOVED] = 1
            at.path.unlink(missing_ok=True)

        self._section(drop)
        self._at.items._notify()
        self._at.room._notify()

    def member(self) -> str | None:
        return str(self._at.region.owner)

    def is_alive(self, member: str) -> bool:
        return _is_alive(int(member))

    # -- settling

    def _mine(self, at: Coordination, delivery: Delivery, now: int) -> bool:
        slot, number, until = delivery.tag
        return bool(at.ids[slot] == number and at.owners[slot] == at.me and at.untils[slot] == until > now)

    def acknowledge(self, deliveries: Sequence[Delivery]) -> Sequence[Delivery]:
        def settle(at: Coordination) -> tuple[list[Delivery], int]:
            lost, mine = self._sorted(at, deliveries)
            if not mine:
                return lost, 0
            self._delete([delivery.tag[1] for delivery in mine])
            words = at.words
            for delivery in mine:
                at.let_go(delivery.tag[0])
                words[BYTES_OUT] += len(delivery.body)
            words[ITEMS_OUT] += len(mine)
            return lost, self._store.committed(0)

        return self._settled(settle)

    def release(
        self, deliveries: Sequence[Delivery], delay: float, counted: bool, error: str
    ) -> Sequence[Delivery]:
        def settle(at: Coordination) -> tuple[list[Delivery], int]:
            lost, mine = self._sorted(at, deliveries)
            pid = pid_of(at.region.owner)
            for delivery in mine:
                self._return(at, delivery.tag[0], delivery.tag[1], delay, counted, error, pid)
            return lost, self._store.committed(0)

        lost = self._settled(settle)
        self._at.items._notify()
        return lost

    def bury(self, deliveries: Sequence[Delivery], error: str, more: int) -> Sequence[Delivery]:
        def settle(at: Coordination) -> tuple[list[Delivery], int]:
            lost, mine = self._sorted(at, deliveries)
            store = self._store
            pid = pid_of(at.region.owner)
            with store.transaction() as connection:
                for delivery in mine:
                    connection.execute(store.statements.bury, (more, error, pid, time(), delivery.tag[1]))
                    connection.execute(store.statements.acknowledge, (delivery.tag[1],))
            for delivery in mine:
                at.let_go(delivery.tag[0])
                at.words[BYTES_OUT] += len(delivery.body)
            at.words[ITEMS_OUT] += len(mine)
            return lost, store.committed(sum(len(delivery.body) for delivery in mine))

        return self._settled(settle)

    def dead(self, most: int, after: Any) -> list[Delivery]:
        def look(at: Coordination) -> list[Delivery]:
            store = self._store
            rows = store.cursor.execute(store.statements.dead, (after[0] if after else 0, most)).fetchall()
            return [self._delivery(row[:6], (row[0], row[6])) for row in rows]

        return self._section(look)

    def forget(self, deliveries: Sequence[Delivery]) -> None:
        def forget(at: Coordination) -> int:
            store = self._store
            with store.transaction() as connection:
                connection.executemany(store.statements.forget, [delivery.tag for delivery in deliveries])
            return store.committed(0)

        self._store.make_durable(self._section(forget))

    def _sorted(
        self, at: Coordination, deliveries: Sequence[Delivery]
    ) -> tuple[list[Delivery], list[Delivery]]:
        """Those that are lost, and those that are ours still."""
        now = monotonic_ns()
        lost: list[Delivery] = []
        mine: list[Delivery] = []
        for delivery in deliveries:
            (mine if self._mine(at, delivery, now) else lost).append(delivery)
        return lost, mine

    def _settled(self, settle: Callable[[Coordination], tuple[list[Delivery], int]]) -> list[Delivery]:
        lost, commit = self._section(settle)
        if self._at.words[ENDED]:  # perhaps that was the last that could come back
            self._at.items._notify()
        self._store.make_durable(commit)
        return lost

    # -- state

    def depth(self) -> Depth:
        def look(at: Coordination) -> Depth:
            words = at.words
            if words[LEASED] or words[DELAYED]:
                self._come_back(at)
            return Depth(words[READY], words[LEASED], words[DELAYED])

        return self._section(look)

    def is_full(self, settings: Settings) -> bool:
        return self._section(lambda at: not self._has_room(at, _SMALL) and not at.words[ENDED])

    def purge(self) -> None:
        self._drop(lambda at: [])

    def clear(self) -> int:
        def kept(at: Coordination) -> list[int]:
            self._come_back(at)
            return sorted(number for _, number in at.held())

        return self._drop(kept)

    def _drop(self, kept: Callable[[Coordination], list[int]]) -> int:
        """Drop all but some, given by their numbers, in order; how many of those waited, or will come back."""
        store = self._store

        def drop(at: Coordination) -> tuple[int, int]:
            words = at.words
            runs: list[tuple[int, int]] = []  # between those that are kept
            first = 0
            for number in kept(at):
                runs.append((first, number - 1))
                first = number + 1
            count = words[READY] + words[DELAYED]
            with store.transaction() as connection:
                connection.executemany(store.statements.acknowledge_run, [*runs, (first, words[NEXT])])
            words[HEAP] = words[READY] = words[BYTES] = words[DELAYED] = 0
            words[DUE] = NEVER
            words[CURSOR] = words[NEXT] - 1
            return count, store.committed(0)

        count, commit = self._section(drop)
        self._at.items._notify()
        self._at.room._notify()
        store.make_durable(commit)
        return count

    def figures(self) -> Mapping[str, int]:
        store = self._store

        def look(at: Coordination) -> dict[str, int]:
            words = at.words
            sql = "SELECT COUNT(*) FROM conveyor_dead WHERE queue = ?"
            return {
                "returned": words[HEAP] + words[DELAYED],
                "redelivered": words[REDELIVERED],
                "dead": store.cursor.execute(sql, (store.number,)).fetchone()[0],
                "items_in": words[ITEMS_IN],
                "items_out": words[ITEMS_OUT],
                "bytes_in": words[BYTES_IN],
                "bytes_out": words[BYTES_OUT],
            }

        return self._section(look)


_SMALL = Message(b"x", "", "")
