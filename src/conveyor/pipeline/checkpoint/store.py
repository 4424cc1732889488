"""CheckpointFile: which items of a source are dealt with, in an SQLite file that outlives everything."""

from __future__ import annotations

import contextlib
from pathlib import Path

from ...errors import PipelineError

__all__ = ["CheckpointFile", "Damaged"]

_VERSION = 1
_KEYS_AT_ONCE = 250  # SQLite allows 999 values in a statement at least
_APPLICATION = 0x636F6E76  # "conv", where SQLite keeps whose file it is


class Damaged(Exception):
    """The file is not what it should be; the text says why."""


class CheckpointFile:
    """An SQLite file with the ranges of places that are done, and what the sinks had made of them.

    Args:
        path: the file; it is made when it is not there.
        source: what the source is, so that another one is not taken for it.

    Raises:
        PipelineError: the file is something else, or was made for another source.
    """

    def __init__(self, path: str | Path, source: str) -> None:
        self._path = path
        self.starts: list[int] = []
        """Where the ranges that earlier runs have dealt with begin, in order."""
        self.ends: list[int] = []
        """Where they end: the first place that is not done."""
        self.state: bytes | None = None
        """What the last transaction of an earlier run kept; None: nothing."""
        import sqlite3  # a Python may lack it, and then has pipelines that are not resumed

        try:
            self._file = sqlite3.connect(path, timeout=1.0, isolation_level=None)
        except sqlite3.Error as error:
            raise self.unusable(error) from error
        try:
            self._open(source)
        except (sqlite3.Error, Damaged) as error:
            self._file.close()
            raise self.unusable(error) from error
        except BaseException:
            self._file.close()
            raise

    def unusable(self, error: Exception) -> PipelineError:
        """What to raise of a file that cannot be used."""
        hint = "name a file that is conveyor's, or a new one"
        if "locked" in str(error):
            hint = "does another run use it?"
        return PipelineError(f"resume is {str(self._path)!r}, which cannot be used: {error}; {hint}")

    def _open(self, source: str) -> None:
        run = self._file.execute
        # Until it is clear whose file it is, nothing is written. The lock ends with this process.
        run("PRAGMA locking_mode=EXCLUSIVE")
        (application,) = run("PRAGMA application_id").fetchone()
        (tables,) = run("SELECT count(*) FROM sqlite_master").fetchone()
        if tables and application != _APPLICATION:
            raise Damaged("it is a database of another program's")
        run(f"PRAGMA application_id={_APPLICATION}")
        run("PRAGMA journal_mode=WAL")
        run("PRAGMA synchronous=NORMAL")
        run("BEGIN IMMEDIATE")
        run("CREATE TABLE IF NOT EXISTS run (version INTEGER, source TEXT, state BLOB)")
        run("CREATE TABLE IF NOT EXISTS done (first INTEGER PRIMARY KEY, after INTEGER)")
        run(
            "CREATE TABLE IF NOT EXISTS keys (source INTEGER, key BLOB, PRIMARY KEY (source, key)) WITHOUT ROWID"
        )
        row = run("SELECT version, source, state FROM run").fetchone()
        if row is None:
            run("INSERT INTO run VALUES (?, ?, NULL)", (_VERSION, source))
        run("COMMIT")
        if row is None:
            return
        version, known, state = row
        if version != _VERSION:
            raise Damaged(f"it is of version {version}, and this conveyor reads {_VERSION}")
        if known != source:
            raise PipelineError(
                f"the state file was made for another source: {known}, and this is {source}; "
                "remove the file to begin anew"
            )
        before = -1
        for first, after in run("SELECT first, after FROM done ORDER BY first"):
            if not (isinstance(first, int) and isinstance(after, int) and before < first < after):
                raise Damaged(f"it says that items {first!r} to {after!r} are done")
            self.starts.append(first)
            self.ends.append(after)
            before = after
        self.state = state

    def done_keys(self, source: int, keys: list[bytes]) -> set[bytes]:
        """Which of these belong to items of that source that are done."""
        found: set[bytes] = set()
        for at in range(0, len(keys), _KEYS_AT_ONCE):
            some = keys[at : at + _KEYS_AT_ONCE]
            places = ", ".join("?" * len(some))
            asked = f"SELECT key FROM keys WHERE source = ? AND key IN ({places})"
            found.update(key for (key,) in self._file.execute(asked, (source, *some)))
        return found

    def count_keys(self) -> int:
        """Keys of items that are done."""
        (count,) = self._file.execute("SELECT count(*) FROM keys").fetchone()
        return int(count)

    def write(
        self, starts: list[int], ends: list[int], state: bytes | None, keys: list[tuple[int, bytes]]
    ) -> None:
        """Replace what the file says, in one transaction.

        Args:
            starts, ends: as the attributes.
            state: what is to be kept together with them; None: what was kept stays.
            keys: sources, and keys of items of theirs that are done, beside those that were.
        """
        run = self._file.execute
        run("BEGIN IMMEDIATE")
        try:
            run("DELETE FROM done")
            self._file.executemany("INSERT INTO done VALUES (?, ?)", zip(starts, ends, strict=True))
            self._file.executemany("INSERT OR IGNORE INTO keys VALUES (?, ?)", keys)
            if state is not None:
                run("UPDATE run SET state = ?", (state,))
            run("COMMIT")
        except BaseException:
            with contextlib.suppress(self._file.Error):
                run("ROLLBACK")
            raise

    def close(self) -> None:
        """Close the file."""
        self._file.close()
