"""The database of a queue: opened, locked, written to, made durable."""

# pyright: reportPrivateUsage=false
# Whether this process holds a lock is asked of the lock itself.
from __future__ import annotations

import errno
import os
import sqlite3
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ...errors import BrokerUnreachable, CorruptSegment, NotSupported
from ..port import ConnectionLost
from ..url import Url
from .coordination import COMMITS, LOGGED, REMOVED, SYNCED, Coordination, WriteLock
from .filesystem import check_local
from .forks import watch
from .schema import LEAST_VERSION, Statements, find_queue, make_queue, make_tables

__all__ = ["LOCK_SECONDS", "LOG_BYTES", "Store"]

# Others that have the file open, a sqlite3 shell say, may hold SQLite's own lock for so long at a time.
_BUSY_SECONDS = 0.25
# A process that was stopped may hold a lock for ever: nobody waits for it longer than this at a time.
LOCK_SECONDS = 5.0
# The log is copied into the database when it has grown by so much: about 16 MiB, once in some thousand commits.
LOG_BYTES = 16 * 2**20
# What a commit writes at least: two pages and their heads.
_COMMIT_BYTES = 8300


class Store:
    """A connection, and the shared memory beside the file."""

    def __init__(self, url: Url) -> None:
        self._url = url
        self.path = Path(url.path)
        self.in_use = threading.Lock()
        self.connection: sqlite3.Connection | None = None
        self._log_fd = -1
        self._syncs = url.options["sync"] == "full"
        watch(self)

    # -- opening and closing

    def open(self, wait: float) -> None:
        """Open the database, which need not exist."""
        if sqlite3.sqlite_version_info < LEAST_VERSION:
            raise NotSupported(
                f"{self._url} needs SQLite {'.'.join(map(str, LEAST_VERSION))} or newer, and this Python has "
                f"{sqlite3.sqlite_version}"
            )
        if self._url.options["filesystem"] == "check":
            check_local(self.path.absolute().parent, str(self._url))
        try:
            connection = sqlite3.connect(
                self.path, timeout=min(wait, _BUSY_SECONDS), isolation_level=None, check_same_thread=False
            )
        except sqlite3.Error as error:
            raise self.meaning(error) from error
        try:
            mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
            if mode != "wal":
                raise NotSupported(
                    f"{self._url}: SQLite cannot keep a write-ahead log there (it says {mode!r})"
                )
            sync = "OFF" if self._url.options["sync"] == "off" else "NORMAL"
            connection.execute(f"PRAGMA synchronous = {sync}")
            connection.execute("PRAGMA wal_autocheckpoint = 0")  # see `checkpoint`
            self.model = self.path.stat()
            self.write_lock = WriteLock(Path(f"{self.path}-conveyor"), self.model)
        except sqlite3.Error as error:
            connection.close()
            raise self.meaning(error) from error
        except BaseException:
            connection.close()
            raise
        self.connection = connection
        self.cursor = connection.cursor()
        self.number = 0
        self.coordination: Coordination | None = None

    def close(self) -> None:
        """Close it. Never raises."""
        connection, self.connection = self.connection, None
        if connection is not None:
            with self.in_use:
                self._close(connection)

    def _close(self, connection: sqlite3.Connection) -> None:
        with suppress(sqlite3.Error):
            connection.close()
        if self._log_fd >= 0:
            os.close(self._log_fd)
            self._log_fd = -1

    def close_in_child(self) -> None:
        """Close the copy of the parent's connection."""
        connection, self.connection = self.connection, None
        if connection is not None:
            self._close(connection)

    # -- finding and making the queue

    def find(self) -> bool:
        """Whether the queue is there; if so, it is attached to."""
        if self.coordination is not None:
            return True
        with self.in_use:
            found = self._guarded(lambda: find_queue(self._connected(), self._url.name))
        if found is None:
            return False
        self._attach(*found)
        return True

    def make(self) -> None:
        """Make the queue, if nobody else has."""

        def make() -> tuple[int, int]:
            with self.transaction():
                connection = self._connected()
                make_tables(connection)
                return find_queue(connection, self._url.name) or make_queue(connection, self._url.name)

        with self.in_use:
            found = self._guarded(make)
        self._attach(*found)

    def _attach(self, number: int, token: int) -> None:
        self.number = number
        self.statements = Statements.of(number)
        self.coordination = Coordination(
            Path(f"{self.path}-conveyor-{number}"), self.model, token, str(self._url)
        )

    def _connected(self) -> sqlite3.Connection:
        if self.connection is None:
            raise ConnectionLost(f"{self._url} is closed")
        return self.connection

    # -- writing; with the queue's lock held, or without a queue

    @contextmanager
    def transaction(self) -> Generator[sqlite3.Connection]:
        """Several statements as one."""
        connection = self._connected()
        with self.write_lock.turn:
            cell = self.write_lock.cell
            try:
                if not cell.acquire(True, LOCK_SECONDS):
                    raise ConnectionLost(
                        "a process that was stopped, or hangs, is about to write to the file"
                    )
                connection.execute("BEGIN IMMEDIATE")
                try:
                    yield connection
                    connection.execute("COMMIT")
                except BaseException:
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
                    raise
            finally:
                # An exception may have come before it was got, or just after that.
                if cell._is_mine():
                    cell.release()

    def write(self, statement: str, parameters: Any) -> list[Any]:
        """One statement, which is a transaction of its own; the rows that it returns."""
        with self.write_lock.turn:
            cell = self.write_lock.cell
            try:
                if not cell.acquire(True, LOCK_SECONDS):
                    raise ConnectionLost(
                        "a process that was stopped, or hangs, is about to write to the file"
                    )
                return self.cursor.execute(statement, parameters).fetchall()
            finally:
                if cell._is_mine():
                    cell.release()

    def meaning(self, error: sqlite3.Error) -> Exception:
        """What an error of SQLite's means to the user of a queue."""
        text = str(error)
        coordination = self.coordination if self.connection is not None else None
        if coordination is not None and coordination.words[REMOVED]:
            return FileNotFoundError(errno.ENOENT, f"{self._url} was removed")
        if "locked" in text or "busy" in text:
            return ConnectionLost(f"another program has the database locked: {text}")
        if "full" in text:
            return OSError(errno.ENOSPC, f"{self._url}: {text}")
        if "readonly" in text or "unable to open" in text or "authoriz" in text:
            folder = self.path.absolute().parent
            if not folder.is_dir():
                return FileNotFoundError(
                    errno.ENOENT, f"{self._url}: there is no folder {os.fspath(folder)!r}"
                )
            return PermissionError(errno.EACCES, f"{self._url}: {text}")
        if "malformed" in text or "not a database" in text:
            return CorruptSegment(f"{self._url}: {text}")
        if "disk I/O" in text:
            return OSError(errno.EIO, f"{self._url}: {text}")
        return BrokerUnreachable(f"{self._url}: {type(error).__name__}: {text}")

    def _guarded(self, call: Any) -> Any:
        try:
            return call()
        except sqlite3.Error as error:
            raise self.meaning(error) from error

    # -- durability

    def committed(self, payload: int) -> int:
        """Note a commit; with the queue's lock held. What `make_durable` wants to know."""
        coordination = self.coordination
        assert coordination is not None
        words = coordination.words
        words[LOGGED] += _COMMIT_BYTES + payload
        words[COMMITS] += 1
        number: int = words[COMMITS]
        return number

    def make_durable(self, commit: int, log_bytes: int = LOG_BYTES) -> None:
        """Return when a commit would survive a power cut, if that was asked for; and keep the log short.

        Args:
            commit: its number.
            log_bytes: how long the log may be.

        Called without a lock. SQLite has written the commit to the log and not synchronised it, as with
        `synchronous=NORMAL`. One call of fdatasync does that for all commits that were made before it, by whatever
        thread or process: those who come while it runs share the next one.
        """
        coordination = self.coordination
        assert coordination is not None
        words = coordination.words
        if words[LOGGED] > log_bytes:
            self._checkpoint(coordination)
        if not self._syncs or words[SYNCED] >= commit:
            return
        lock = coordination.sync_lock
        if not lock.acquire(True, 10 * LOCK_SECONDS):
            raise ConnectionLost("a process that was stopped, or hangs, is about to synchronise the file")
        try:
            if words[SYNCED] >= commit:
                return
            upto = words[COMMITS]
            if self._log_fd < 0:
                self._log_fd = os.open(f"{self.path}-wal", os.O_RDWR | os.O_CLOEXEC)
            os.fdatasync(self._log_fd)
            words[SYNCED] = upto
        finally:
            lock.release()

    def _checkpoint(self, coordination: Coordination) -> None:
        """Copy the log into the database: all that is there now while others go on, then the rest while they wait.

        Without the second step the log would never begin anew while anybody writes.
        """
        words = coordination.words
        with coordination.turn:
            if words[LOGGED] <= LOG_BYTES:
                return
            words[LOGGED] = 0
        with self.in_use:
            connection = self._connected()
            try:
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
                with self.write_lock.turn:
                    cell = self.write_lock.cell
                    try:
                        if cell.acquire(True, LOCK_SECONDS):
                            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
                    finally:
                        if cell._is_mine():
                            cell.release()
            except sqlite3.OperationalError:
                pass  # somebody else does it, or reads: next time
