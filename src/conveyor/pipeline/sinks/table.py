"""TableSink: puts values into a table of an SQLite file, a lot of them in each transaction."""

from __future__ import annotations

import contextlib
import json
import uuid
from typing import Any

from ...errors import PipelineError
from ..base.format import many
from ..files.beginning import Beginning
from ..files.target import Target
from .rows import Rows
from .sink import PlainSink

__all__ = ["TableSink"]

_LOT = 10_000  # rows
_BUSY_SECONDS = 30.0
_TYPES: dict[Any, str] = {bool: "INTEGER", int: "INTEGER", float: "REAL", str: "TEXT", bytes: "BLOB"}
_LOTS = "_conveyor_lots"


class TableSink(PlainSink):
    """Puts values into a table, which is made of the first one's columns if it is not there.

    Of a run that can be resumed each lot is noted down in the same transaction, with the rows that it made: a later run
    takes back those of which its state file does not know.

    Args:
        target: the table.
        beginning: how.

    Raises:
        PipelineError: the file cannot be opened, or what an earlier run has written is not there any more.
        TypeError: the table is not to be resumed.
    """

    def __init__(self, target: Target, beginning: Beginning) -> None:
        import sqlite3  # a Python may lack it

        self._error = sqlite3.Error
        self._shown = target.shown
        self._table = _quoted(target.table)
        self._name = target.table
        self.is_resumable = beginning.resumable
        place: dict[str, Any] = beginning.place or {"run": uuid.uuid4().hex, "lot": 0, "columns": None}
        self._run: str = place["run"]
        self._lot: int = place["lot"]
        self._rows = Rows(target.shown, target.options.get("columns"), place["columns"])
        self._waiting: list[list[Any]] = []
        self._is_there = False
        self._count = 0
        self.partial: str | None = None
        try:
            self._file = sqlite3.connect(
                str(target.path), timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
        except sqlite3.Error as error:
            raise PipelineError(f"{self._shown!r} cannot be opened: {error}") from error
        try:
            self._file.execute("SELECT count(*) FROM sqlite_master").fetchone()
            if beginning.place is not None:
                self._take_back()
        except sqlite3.Error as error:
            self._file.close()
            raise PipelineError(f"{self._shown!r} cannot be used: {error}") from error
        except BaseException:
            self._file.close()
            raise

    @property
    def place(self) -> Any:
        """How far it is, right after `flush`."""
        return {"run": self._run, "lot": self._lot, "columns": self._rows.columns}

    def _take_back(self) -> None:
        """Delete what an earlier run wrote after its state file had been written last."""
        if not self._lot and not self._has(_LOTS):
            return
        with self._transaction():
            run = self._file.execute
            lots = (
                run(f"SELECT lot, rows FROM {_LOTS} WHERE run = ?", (self._run,)).fetchall()
                if self._has(_LOTS)
                else []
            )
            if max((lot for lot, _ in lots), default=0) < self._lot:
                raise PipelineError(
                    f"the state file says that earlier runs have put {self._lot:,} lots into {self._shown!r}, which "
                    "does not have them; remove the state file to begin anew"
                )
            for lot, rows in lots:
                if lot > self._lot:
                    for first, last in json.loads(rows):
                        run(f"DELETE FROM {self._table} WHERE rowid BETWEEN ? AND ?", (first, last))
                    run(f"DELETE FROM {_LOTS} WHERE run = ? AND lot = ?", (self._run, lot))

    def _has(self, table: str) -> bool:
        found = self._file.execute("SELECT 1 FROM sqlite_master WHERE name = ? COLLATE NOCASE", (table,))
        return found.fetchone() is not None

    @contextlib.contextmanager
    def _transaction(self) -> Any:
        self._file.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._file.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(self._error):
                self._file.execute("ROLLBACK")
            raise

    def take(self, values: list[Any]) -> int:
        """Take all."""
        self._waiting += map(self._rows.values, values)
        if len(self._waiting) >= _LOT:
            self.flush()
        return len(values)

    def flush(self) -> None:
        """Put what waits into the table, in one transaction."""
        rows, self._waiting = self._waiting, []
        if not rows:
            return
        columns = self._rows.columns
        assert columns is not None
        with self._transaction():
            if not self._is_there:
                self._make(columns, rows[0])
            names, marks = ", ".join(map(_quoted, columns)), ", ".join("?" * len(columns))
            insert = f"INSERT INTO {self._table} ({names}) VALUES ({marks})"
            if self.is_resumable:
                self._note(insert, rows)
            else:
                try:
                    self._file.executemany(insert, rows)
                except self._error:
                    for row in rows:
                        self._put(insert, row)
                    raise
        self._is_there = True
        self._count += len(rows)

    def _put(self, insert: str, row: list[Any]) -> int:
        try:
            return self._file.execute(insert, row).lastrowid or 0
        except self._error as error:
            shown = dict(zip(self._rows.columns or (), row, strict=True))
            error.add_note(f"{shown!r:.200} cannot be put into {self._shown!r}")
            raise

    def _note(self, insert: str, rows: list[list[Any]]) -> None:
        """Insert rows, and note down which they are."""
        run = self._file.execute
        run(f"CREATE TABLE IF NOT EXISTS {_LOTS} (run TEXT, lot INTEGER, rows TEXT, PRIMARY KEY (run, lot))")
        ranges: list[list[int]] = []
        for row in rows:
            number = self._put(insert, row)
            if ranges and ranges[-1][1] == number - 1:
                ranges[-1][1] = number
            else:
                ranges.append([number, number])
        run(f"INSERT INTO {_LOTS} VALUES (?, ?, ?)", (self._run, self._lot + 1, json.dumps(ranges)))
        self._lot += 1

    def _make(self, columns: list[str], row: list[Any]) -> None:
        """Make the table if it is not there; see to it that it has these columns if it is."""
        if not self._has(self._name):
            kinds = (
                f"{_quoted(name)} {_TYPES.get(type(value), '')}"
                for name, value in zip(columns, row, strict=True)
            )
            self._file.execute(f"CREATE TABLE {self._table} ({', '.join(kinds)})")
            return
        there = {str(each[1]).lower() for each in self._file.execute(f"PRAGMA table_info({self._table})")}
        for name in columns:
            if name.lower() not in there:
                raise ValueError(
                    f"the table {self._name!r} of {self._shown!r} has no column {name!r}; it has {sorted(there)}"
                )
        if self.is_resumable:
            try:
                self._file.execute(f"SELECT rowid FROM {self._table} LIMIT 1")
            except self._error:
                raise PipelineError(
                    f"resume cannot go on with {self._shown!r}: the table has no rowid, by which rows are taken back"
                ) from None

    def close(self) -> None:
        """Put in what waits."""
        self.flush()

    def conclude(self, whole: bool) -> None:
        """Close the file; what is noted down of a run that has ended well is one row."""
        try:
            if whole and self.is_resumable and self._has(_LOTS):
                self._file.execute(f"DELETE FROM {_LOTS} WHERE run = ? AND lot < ?", (self._run, self._lot))
            if not whole and self._count:
                self.partial = f"{self._shown} ({many(self._count, 'row')})"
        finally:
            self._file.close()


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
