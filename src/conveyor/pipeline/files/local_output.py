"""LocalOutput: a file of this machine, written beside its name, and renamed when it is whole."""

from __future__ import annotations

import contextlib
import fcntl
import gc
import os
import shutil
import stat
from pathlib import Path
from typing import IO, ClassVar

from ...errors import PipelineError
from .beginning import Beginning

__all__ = ["LocalOutput"]

_BUFFER = 256 * 1024
_BLOCK = 64 * 1024


class LocalOutput:
    """A file of this machine.

    It is written as NAME.partial in the same folder, locked meanwhile, and renamed when it is whole. Links are
    followed. What is no regular file, as a pipe or a device, is written to directly, and so is a file to which is
    appended.

    Args:
        path: its name.
        beginning: how; its `place` is a number of bytes: what lies behind them in NAME.partial is cut off.

    Raises:
        OSError: it cannot be written.
        PipelineError: another run writes to it, or what an earlier run has written is not there any more.
    """

    _writing: ClassVar[set[Path]] = set()  # by this process: its locks are of no use among its threads

    def __init__(self, path: Path, beginning: Beginning) -> None:
        self._final = Path(os.path.realpath(path))
        self._partial = self._final.with_name(f"{self._final.name}.partial")
        self._direct = beginning.appends or not _is_regular(self._final)
        self._file: IO[bytes] | None = None
        self._done: int | None = None  # bytes of a file that an earlier run has finished
        self._kept = bool(beginning.place)
        if self._direct:
            if beginning.appends and _is_regular(self._final):
                _cut_torn_line(self._final)
            self._file = self._final.open("ab" if beginning.appends else "wb", _BUFFER)
        elif beginning.place and not self._partial.exists():
            self._done = beginning.place
        else:
            self._file = self._begin(beginning.place or 0)

    def _begin(self, place: int) -> IO[bytes]:
        if self._partial in self._writing:
            gc.collect()  # a run that was made and never begun may still hold it
            if self._partial in self._writing:
                raise self._is_written()
        fd = os.open(self._partial, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            self._lock(fd)
            size = os.fstat(fd).st_size
            if size < place:
                raise self._is_missing(f"and {str(self._partial)!r} has {size:,}", place)
            os.ftruncate(fd, place)
            os.lseek(fd, place, os.SEEK_SET)
            self._writing.add(self._partial)
            return os.fdopen(fd, "wb", _BUFFER)
        except BaseException:
            os.close(fd)
            raise

    def _lock(self, fd: int) -> None:
        try:
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            there = self._partial.stat()
        except OSError as error:
            raise self._is_written() from error
        if not os.path.samestat(there, os.fstat(fd)):  # whoever had it has just finished
            raise self._is_written()

    def _is_written(self) -> PipelineError:
        return PipelineError(
            f"another run writes to {str(self._final)!r} ({self._partial.name} beside it is locked); "
            "wait for its end, or name another file"
        )

    def _is_missing(self, what: str, place: int) -> PipelineError:
        return PipelineError(
            f"the state file says that earlier runs have written {place:,} bytes of {str(self._final)!r}, {what}; "
            "remove the state file to begin anew"
        )

    def write(self, data: bytes, /) -> None:
        """Add bytes."""
        if self._file is None:
            self._file = self._go_on()
        self._file.write(data)

    def _go_on(self) -> IO[bytes]:
        """Write behind what an earlier run has finished."""
        place = self._done or 0
        try:
            size = self._final.stat().st_size
        except FileNotFoundError:
            size = -1
        if size != place:
            raise self._is_missing(
                f"and neither it nor {self._partial.name} beside it is as it left them", place
            )
        shutil.copyfile(self._final, self._partial)
        return self._begin(place)

    def tell(self) -> int:
        """How many there are."""
        if self._file is None:
            return self._done or 0
        return 0 if self._direct else self._file.tell()

    def flush(self, durable: bool) -> None:
        """Hand all of them to the system; durable: they outlive it, too."""
        if self._file is not None:
            self._file.flush()
            if durable:
                try:
                    os.fdatasync(self._file.fileno())
                except OSError:
                    if not self._direct:  # a pipe has nothing that could last
                        raise

    def publish(self) -> None:
        """All are there: they are the file from now on."""
        if self._file is None:
            return
        if not self._direct:
            self.flush(durable=True)
            with contextlib.suppress(FileNotFoundError):
                os.fchmod(self._file.fileno(), stat.S_IMODE(self._final.stat().st_mode))
            self._partial.replace(self._final)
            _sync_folder(self._final.parent)
        self._close()

    def abandon(self) -> str | None:
        """They will not be the file. Returns where they lie, if there are any."""
        if self._file is None or self._direct:
            self._close()
            return None
        with contextlib.suppress(OSError):  # that the disk is full has been told
            self._file.flush()
        has_some = self._kept or os.fstat(self._file.fileno()).st_size > 0
        if not has_some:
            with contextlib.suppress(OSError):
                self._partial.unlink()
        self._close()
        return str(self._partial) if has_some else None

    def _close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            self._writing.discard(self._partial)
            try:
                file.close()
            except OSError:
                if self._direct:  # else it was flushed before, or that has failed
                    raise

    def __del__(self) -> None:
        if getattr(self, "_file", None) is not None:  # of a run that was made and did not begin
            self.abandon()


def _is_regular(path: Path) -> bool:
    """Whether it is a regular file, or none yet."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except FileNotFoundError:
        return True


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):  # not every file system can
            os.fsync(fd)
    finally:
        os.close(fd)


def _cut_torn_line(path: Path) -> None:
    """Take away the line that a process was writing when it was killed: its item was not acknowledged."""
    if not path.exists():
        return
    with path.open("r+b") as file:
        end = file.seek(0, 2)
        while end:
            start = max(end - _BLOCK, 0)
            file.seek(start)
            at = file.read(end - start).rfind(b"\n")
            if at >= 0:
                end = start + at + 1
                break
            end = start
        file.truncate(end)
