"""Joblog: a line for each item that is done, in GNU parallel's form, so that a later run goes on behind it."""

from __future__ import annotations

import os
import zlib
from pathlib import Path
from types import TracebackType
from typing import Self

from .exit_codes import CommandError
from .shell.outcome import Outcome

__all__ = ["Joblog"]

_HEAD = b"Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\n"
_FIELDS = 9


class Joblog:
    """The file. A line is written when what the item gave was written, so that a run that is killed loses nothing.

    Args:
        path: of the file. It is begun anew unless the run goes on.
        goes_on: what stands there is done.
        only_good: of that, only what succeeded.

    Raises:
        CommandError: it cannot be read or written, or is something else.
    """

    def __init__(self, path: str, *, goes_on: bool, only_good: bool) -> None:
        self._path = path
        self._done: dict[int, int] = {}  # by number of an item, a checksum of its command
        self._lines: list[bytes] = []
        try:
            if goes_on and Path(path).exists():
                size = self._read(only_good)
                os.truncate(path, size)  # half a line, of a run that was killed or had no room
            mode = os.O_APPEND if goes_on else os.O_TRUNC
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | mode, 0o666)
            if not os.fstat(self._fd).st_size:
                self._write(_HEAD)
        except OSError as error:
            raise CommandError(f"--joblog: {path}: {error.strerror}") from None

    def _read(self, only_good: bool) -> int:
        size = 0
        with Path(self._path).open("rb") as file:
            for index, line in enumerate(file):
                if not line.endswith(b"\n"):
                    break
                size += len(line)
                fields = line[:-1].split(b"\t", _FIELDS - 1)
                if index == 0 and fields[0] == b"Seq":
                    continue
                try:
                    number, code, killed = int(fields[0]), int(fields[6]), int(fields[7])
                    command = fields[8]
                except (IndexError, ValueError):
                    raise CommandError(
                        f"--joblog: line {index + 1} of {self._path} is none of a job log: {line[:60]!r}"
                    ) from None
                if only_good and (code or killed):
                    self._done.pop(number, None)
                else:
                    self._done[number] = zlib.crc32(command)
        return size

    @property
    def done(self) -> int:
        """How many items earlier runs did."""
        return len(self._done)

    def has(self, number: int, command: bytes) -> bool:
        """Whether an earlier run did that item.

        Raises:
            CommandError: it did, but with another command or item.
        """
        known = self._done.get(number)
        if known is None:
            return False
        if known != zlib.crc32(_on_a_line(command)):
            raise CommandError(
                f"--resume: item {number:,} is now {os.fsdecode(command)!r:.100}, and was another one when "
                f"{self._path} was written; give the same command and input, or another --joblog"
            )
        return True

    def add(self, outcome: Outcome, command: bytes, received: int) -> None:
        """Note an item; it is written by `flush`.

        Args:
            outcome: what became of it.
            command: what was run.
            received: bytes that it wrote.
        """
        head = (
            f"{outcome.number}\t:\t{outcome.began:.3f}\t{outcome.seconds:10.3f}\t0\t{received}\t"
            f"{outcome.exit_code}\t{outcome.signal}\t"
        )
        self._lines.append(head.encode() + _on_a_line(command) + b"\n")

    def flush(self) -> None:
        """Write what was noted.

        Raises:
            OSError: that is not possible.
        """
        lines, self._lines = self._lines, []
        if lines:
            self._write(b"".join(lines))

    def _write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._fd, data) :]

    def close(self) -> None:
        """Write what was noted, and let go of the file."""
        try:
            self.flush()
        finally:
            os.close(self._fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _on_a_line(command: bytes) -> bytes:
    return command.replace(b"\n", b"\0")
