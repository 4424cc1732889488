"""NamedSegment: the file of a named queue, looked at without being changed or waited for."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Collection, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from .._memory.names import is_name
from .._native import _peek_header, _peek_region_header  # pyright: ignore[reportPrivateUsage]
from .process import Process, processes_that_map

__all__ = ["FOLDER", "PREFIX", "READY", "NamedSegment", "path_of"]

FOLDER = Path("/dev/shm")
PREFIX = "conveyor."
READY = ".ready"  # a queue's readable descriptor, beside its file


def path_of(name: str) -> Path:
    """The file of what has that name in shared memory."""
    return FOLDER / f"{PREFIX}{name}"


class NamedSegment:
    """A file that is, or stands where one expects, a named queue of this user's; open until `close`.

    Opening it waits for nothing and follows no link, whatever lies there.

    Raises:
        OSError: it cannot be opened; FileNotFoundError: it is not there (any more).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.name.removeprefix(PREFIX)
        self.url = f"shm://{self.name}"
        self._fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        self.status = os.fstat(self._fd)

    @staticmethod
    def paths(names: Collection[str] | None = None) -> Iterator[tuple[Path, os.stat_result]]:
        """Whatever of this user's is named as a queue is, in order; the descriptors beside them left out.

        Args:
            names: of queues; None: all.
        """
        everything = FOLDER.glob(f"{PREFIX}*")
        for path in sorted(everything) if names is None else map(path_of, names):
            try:
                status = path.lstat()
            except OSError:
                continue  # gone meanwhile
            is_descriptor = stat.S_ISFIFO(status.st_mode) and path.name.endswith(READY)
            if status.st_uid == os.geteuid() and not is_descriptor:
                yield path, status

    @staticmethod
    def is_possible(path: Path, status: os.stat_result) -> bool:
        """Whether a queue may have that name, and be such a thing."""
        return is_name(path.name.removeprefix(PREFIX)) and stat.S_ISREG(status.st_mode)

    @property
    def fd(self) -> int:
        """Open for reading."""
        return self._fd

    @property
    def memory(self) -> int:
        """Bytes of memory that it holds."""
        return os.fstat(self._fd).st_blocks * 512

    def glance(self) -> dict[str, Any]:
        """What its header says.

        Raises:
            CorruptSegment, VersionMismatch: it is no sound segment of this version.
            WrongKind: it is a region.
        """
        return _peek_header(self._fd)

    def glance_at_region(self) -> dict[str, Any]:
        """What the header of one that is no queue says: `text` tells what it is.

        Raises:
            CorruptSegment, VersionMismatch, WrongKind: it is no sound region of this version.
        """
        return _peek_region_header(self._fd)

    def users(self) -> list[Process]:
        """The processes that have it mapped, as far as they can be seen."""
        return processes_that_map(self.status.st_dev, self.status.st_ino)

    def lock_out(self) -> bool:
        """Whether nobody has it open, in this version's way; if so, nobody can attach until `close`.

        A process that attaches holds a shared lock on the file as long as it has it (docs/adr/0008), across fork,
        and across pid namespaces. The kernel takes it back when the last such process ends, however.
        """
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def let_in(self) -> None:
        """Undo `lock_out`."""
        with contextlib.suppress(OSError):
            fcntl.flock(self._fd, fcntl.LOCK_UN)

    def is_at_its_place(self) -> bool:
        """Whether the file still has its name."""
        try:
            return os.path.samestat(self.path.lstat(), self.status)
        except OSError:
            return False

    def close(self) -> None:
        """Let go of the file, and of the lock."""
        os.close(self._fd)

    def __enter__(self) -> NamedSegment:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
