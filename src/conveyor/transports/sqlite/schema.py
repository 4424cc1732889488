"""What lies in the database."""

from __future__ import annotations

import os
import sqlite3
from dataclasses import dataclass

__all__ = ["LEAST_VERSION", "Statements", "find_queue", "make_queue", "make_tables"]

LEAST_VERSION = (3, 35, 0)  # DELETE ... RETURNING

# conveyor_queues   one row for each queue; `record` is the control record, `token` tells this queue from another that
#                   had its number in another file at the same path
# conveyor_types    the content types of bodies
# conveyor_dead     what was given up
# conveyor_items_N  the items of queue N: those that wait and those under lease, the oldest first by id. `due` is 0, or
#                   the Unix time at which the item comes back
_TABLES = """
CREATE TABLE IF NOT EXISTS conveyor_queues (
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, token INTEGER NOT NULL,
    record BLOB, version INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS conveyor_types (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS conveyor_dead (
    id INTEGER PRIMARY KEY, queue INTEGER NOT NULL, body BLOB NOT NULL, type INTEGER NOT NULL,
    attempts INTEGER NOT NULL, error TEXT, pid INTEGER, at REAL NOT NULL);
CREATE INDEX IF NOT EXISTS conveyor_dead_queue ON conveyor_dead (queue);
"""

_ITEMS = """
CREATE TABLE IF NOT EXISTS {0} (
    id INTEGER PRIMARY KEY, body BLOB NOT NULL, type INTEGER NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
    due REAL NOT NULL DEFAULT 0, error TEXT, pid INTEGER);
CREATE INDEX IF NOT EXISTS {0}_due ON {0} (due) WHERE due > 0;
"""


def make_tables(connection: sqlite3.Connection) -> None:
    """Make what is missing; in a transaction of the caller's."""
    for statement in _TABLES.split(";"):
        connection.execute(statement)


def find_queue(connection: sqlite3.Connection, name: str) -> tuple[int, int] | None:
    """The number and the token of a queue; None: it is not there."""
    try:
        row = connection.execute("SELECT id, token FROM conveyor_queues WHERE name = ?", (name,)).fetchone()
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            return None
        raise
    return row if row is None else (row[0], row[1])


def make_queue(connection: sqlite3.Connection, name: str) -> tuple[int, int]:
    """Make a queue, still without a record; in a transaction of the caller's."""
    token = int.from_bytes(os.urandom(7), "little")
    number = connection.execute(
        "INSERT INTO conveyor_queues (name, token) VALUES (?, ?)", (name, token)
    ).lastrowid
    assert number is not None
    for statement in _ITEMS.format(f"conveyor_items_{number}").split(";"):
        connection.execute(statement)
    return number, token


@dataclass(frozen=True, slots=True)
class Statements:
    """The SQL of one queue."""

    put: str
    first: str
    fresh: str
    one: str
    exists: str
    take_fresh: str
    acknowledge: str
    acknowledge_run: str
    fail: str
    bury: str
    dead: str
    forget: str
    come_due: str
    largest: str
    delayed: str
    ready: str
    back: str
    put_off: str
    drop: str

    @classmethod
    def of(cls, number: int) -> Statements:
        """Those of the queue of that number."""
        items = f"conveyor_items_{number}"
        columns = "id, body, type, attempts, error, pid"
        return cls(
            put=f"INSERT INTO {items} (id, body, type) VALUES (?, ?, ?)",
            first=f"SELECT {columns} FROM {items} WHERE id > ? AND due = 0 ORDER BY id LIMIT 1",
            fresh=f"SELECT {columns} FROM {items} WHERE id > ? AND due = 0 ORDER BY id LIMIT ?",
            one=f"SELECT {columns} FROM {items} WHERE id = ?",
            exists=f"SELECT 1 FROM {items} WHERE id = ?",
            take_fresh=f"DELETE FROM {items} WHERE id = (SELECT id FROM {items} WHERE id > ? AND due = 0 "
            f"ORDER BY id LIMIT 1) RETURNING {columns}",
            acknowledge=f"DELETE FROM {items} WHERE id = ?",
            acknowledge_run=f"DELETE FROM {items} WHERE id BETWEEN ? AND ?",
            fail=f"UPDATE {items} SET attempts = attempts + ?, error = ?, pid = ?, due = ? WHERE id = ?",
            bury=f"INSERT INTO conveyor_dead (queue, body, type, attempts, error, pid, at) "
            f"SELECT {number}, body, type, attempts + ?, ?, ?, ? FROM {items} WHERE id = ?",
            dead=f"SELECT {columns}, at FROM conveyor_dead WHERE queue = {number} AND id > ? ORDER BY id LIMIT ?",
            # A number that is free is given to the next one: `at` tells them apart.
            forget=f"DELETE FROM conveyor_dead WHERE queue = {number} AND id = ? AND at = ?",
            come_due=f"UPDATE {items} SET due = 0 WHERE id IN (SELECT id FROM {items} WHERE due > 0 AND due <= ? "
            "ORDER BY due LIMIT ?) RETURNING id, LENGTH(body)",
            largest=f"SELECT MAX(id) FROM {items}",
            delayed=f"SELECT COUNT(*), MIN(due) FROM {items} WHERE due > 0",
            ready=f"SELECT COUNT(*), TOTAL(LENGTH(body)) FROM {items} WHERE due = 0",
            back=f"SELECT id FROM {items} WHERE id <= ? AND due = 0 ORDER BY id",
            put_off=f"UPDATE {items} SET due = 1 WHERE id = ?",
            drop=f"DROP TABLE {items}",
        )
