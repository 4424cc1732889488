"""Tracker: which items of the source are dealt with, kept in a file that outlives everything."""

from __future__ import annotations

import contextlib
import pickle
import sqlite3
from bisect import bisect_right
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any

from ..errors import PipelineError
from .bundle import Bundle

__all__ = ["Tracker"]

_EVERY_SECONDS = 0.5
_VERSION = 1
_APPLICATION = 0x636F6E76  # "conv", where SQLite keeps whose file it is


class _Damaged(Exception):
    """The file is not what it should be; the text says why."""


def _unusable(path: str | Path, error: Exception) -> PipelineError:
    hint = "name a file that is conveyor's, or a new one"
    if "locked" in str(error):
        hint = "does another run use it?"
    return PipelineError(f"resume is {str(path)!r}, which cannot be used: {error}; {hint}")


class Tracker:
    """Counts, for each item of the source, the values that came of it and are still under way.

    When none is left, the item is done. What is done is written to an SQLite file, in one transaction with what
    the sink has made of it so far, so that after the death of everything a second run goes on from there.

    Args:
        path: the file; it is made when it is not there.
        source: what the source is, so that another one is not taken for it.

    Raises:
        PipelineError: the file is something else, or was made for another source.
    """

    def __init__(self, path: str | Path, source: str) -> None:
        self._flush: Callable[[], object] = lambda: None
        self._state: Callable[[], Any] | None = None
        self._live: dict[int, int] = {}
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._changed = False
        self._committed = monotonic()
        self.saved_state: Any = None
        """What the last transaction of an earlier run kept; None: there was none."""
        self.had_state = False
        try:
            self._file = sqlite3.connect(path, timeout=1.0, isolation_level=None)
        except sqlite3.Error as error:
            raise _unusable(path, error) from error
        try:
            self._open(source)
        except (sqlite3.Error, _Damaged) as error:
            self._file.close()
            raise _unusable(path, error) from error
        except BaseException:
            self._file.close()
            raise
        self.resumed = sum(end - start for start, end in zip(self._starts, self._ends, strict=True))
        """Items that earlier runs have dealt with."""

    def _open(self, source: str) -> None:
        run = self._file.execute
        # Until it is clear whose file it is, nothing is written. The lock ends with this process.
        run("PRAGMA locking_mode=EXCLUSIVE")
        (application,) = run("PRAGMA application_id").fetchone()
        (tables,) = run("SELECT count(*) FROM sqlite_master").fetchone()
        if tables and application != _APPLICATION:
            raise _Damaged("it is a database of another program's")
        run(f"PRAGMA application_id={_APPLICATION}")
        run("PRAGMA journal_mode=WAL")
        run("PRAGMA synchronous=NORMAL")
        run("BEGIN IMMEDIATE")
        run("CREATE TABLE IF NOT EXISTS run (version INTEGER, source TEXT, state BLOB)")
        run("CREATE TABLE IF NOT EXISTS done (first INTEGER PRIMARY KEY, after INTEGER)")
        row = run("SELECT version, source, state FROM run").fetchone()
        if row is None:
            run("INSERT INTO run VALUES (?, ?, NULL)", (_VERSION, source))
        run("COMMIT")
        if row is None:
            return
        version, known, state = row
        if version != _VERSION:
            raise _Damaged(f"it is of version {version}, and this conveyor reads {_VERSION}")
        if known != source:
            raise PipelineError(
                f"the state file was made for another source: {known}, and this is {source}; "
                "remove the file to begin anew"
            )
        before = -1
        for first, after in run("SELECT first, after FROM done ORDER BY first"):
            if not (isinstance(first, int) and isinstance(after, int) and before < first < after):
                raise _Damaged(f"it says that items {first!r} to {after!r} are done")
            self._starts.append(first)
            self._ends.append(after)
            before = after
        if state is not None:
            try:
                self.saved_state = pickle.loads(state)
            except Exception as error:
                raise _Damaged(f"what it keeps of reduce() cannot be unpickled, {error}") from error
            self.had_state = True

    def keep(self, flush: Callable[[], object], state: Callable[[], Any] | None) -> None:
        """Say what belongs to each transaction.

        Args:
            flush: called before it: what sinks hold back must be out by then.
            state: what is to be kept together with it.
        """
        self._flush = flush
        self._state = state

    def is_done(self, number: int) -> bool:
        """Whether the item at that place of the source is done."""
        at = bisect_right(self._starts, number) - 1
        return at >= 0 and number < self._ends[at]

    def begin(self, origins: list[int]) -> None:
        """These items have come out of the source."""
        self._live.update(dict.fromkeys(origins, 1))

    def spread(self, origin: Any, count: int) -> None:
        """A value that came of these items became so many, 0 included.

        Args:
            origin: an item's place, or a bundle.
            count: how many values there are instead.
        """
        if isinstance(origin, Bundle):
            origin.live += count - 1
            if not origin.live:
                for one in origin.origins:
                    self.spread(one, 0)
            return
        live = self._live[origin] + count - 1
        if live:
            self._live[origin] = live
        else:
            del self._live[origin]
            self._add(origin)

    def _add(self, number: int) -> None:
        self._changed = True
        at = bisect_right(self._starts, number)
        joins_before = at > 0 and self._ends[at - 1] == number
        joins_after = at < len(self._starts) and self._starts[at] == number + 1
        if joins_before and joins_after:
            self._ends[at - 1] = self._ends[at]
            del self._starts[at], self._ends[at]
        elif joins_before:
            self._ends[at - 1] = number + 1
        elif joins_after:
            self._starts[at] = number
        else:
            self._starts.insert(at, number)
            self._ends.insert(at, number + 1)

    def commit(self, now: float, force: bool = False) -> None:
        """Write what is new, if it is time to."""
        if not self._changed or (now - self._committed < _EVERY_SECONDS and not force):
            return
        self._flush()
        run = self._file.execute
        run("BEGIN IMMEDIATE")
        try:
            run("DELETE FROM done")
            self._file.executemany(
                "INSERT INTO done VALUES (?, ?)", zip(self._starts, self._ends, strict=True)
            )
            if self._state is not None:
                run("UPDATE run SET state = ?", (pickle.dumps(self._state()),))
            run("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                run("ROLLBACK")
            raise
        self._changed = False
        self._committed = now

    def close(self) -> None:
        """Write what is left, and close the file."""
        self.commit(monotonic(), force=True)
        self._file.close()
