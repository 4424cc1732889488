"""MapOutput: what the items gave, on its way to the standard streams, to files and to the job log."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ..pipeline import Failure
from .joblog import Joblog
from .map_item import MapItem
from .shell.outcome import CommandFailed, Outcome

__all__ = ["MapOutput"]

_STDOUT, _STDERR = 1, 2
_BLOCK = 1024 * 1024


class MapOutput:
    """Takes the outcomes of items whose turn has come: writes what each gave, whole, and then notes that it is done.

    Args:
        shown: what was done for an item.
        tag: what each line begins with; None: nothing.
        joblog: where it is noted; None: nowhere.
        folder: where the outputs are kept as well, a folder for each item; None: nowhere.
        write: writes to standard output, or raises.
    """

    def __init__(
        self,
        shown: Callable[[MapItem], bytes],
        tag: Callable[[MapItem], bytes] | None,
        joblog: Joblog | None,
        folder: str | None,
        write: Callable[[bytes], None],
    ) -> None:
        self._shown = shown
        self._tag = tag
        self._joblog = joblog
        self._folder = folder
        self._write = write
        self._waiting: list[bytes] = []
        self.failed = 0
        """Outcomes taken of items that failed."""

    def take(self, outcomes: Iterable[Outcome | Failure]) -> None:
        """Take some.

        Raises:
            OSError: a file cannot be written.
        """
        for each in outcomes:
            outcome = each if isinstance(each, Outcome) else outcome_of(each)
            self.failed += outcome is not each
            try:
                self._take(outcome)
            finally:
                outcome.close()
        self._send()
        if self._joblog is not None:
            self._joblog.flush()

    def _take(self, outcome: Outcome) -> None:
        item = MapItem(outcome.number, outcome.arguments, mark=outcome.mark)
        tag = self._tag(item) + b"\t" if self._tag is not None else b""
        if outcome.out_file >= 0 or outcome.err or outcome.err_file >= 0:
            self._send()  # what came before goes first, on both streams
        received = _copy(outcome.out, outcome.out_file, tag, self._waiting.append, self._send)
        received += _copy(outcome.err, outcome.err_file, tag, _to_stderr)
        if self._folder is not None:
            self._keep(outcome, Path(self._folder))
        if self._joblog is not None:
            self._joblog.add(outcome, self._shown(item), received)

    def _send(self) -> None:
        data = b"".join(self._waiting)
        self._waiting.clear()
        if data:
            self._write(data)

    @staticmethod
    def _keep(outcome: Outcome, folder: Path) -> None:
        # As GNU parallel does it: for each argument the number of its source and itself, which no slash may cut.
        for index, argument in enumerate(outcome.arguments):
            name = (
                argument.replace(b"\\", b"\\\\")
                .replace(b"\t", b"\\t")
                .replace(b"\0", b"\\0")
                .replace(b"/", b"\\_")
            )
            folder = folder / str(index + 1) / os.fsdecode(name or b"\\e")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "seq").write_text(f"{outcome.number}\n")
        for stream, data, fd in (
            ("stdout", outcome.out, outcome.out_file),
            ("stderr", outcome.err, outcome.err_file),
        ):
            with (folder / stream).open("wb") as file:
                _copy(data, fd, b"", file.write)


def outcome_of(failure: Failure) -> Outcome:
    """What became of an item that failed for good."""
    error = failure.pickled
    if isinstance(error, CommandFailed):
        return error.outcome
    item = failure.item
    assert isinstance(item, MapItem), item
    return Outcome(
        item.number, item.arguments, time.time(), 0.0, exit_code=1, problem=str(failure), mark=item.mark
    )


def _copy(
    data: bytes,
    fd: int,
    tag: bytes,
    write: Callable[[bytes], Any],
    after_each: Callable[[], None] | None = None,
) -> int:
    """Write an output, from memory or from its file, which may be large; returns its size."""
    if fd < 0:
        if data:
            write(_tagged(data, tag, True) if tag else data)
        return len(data)
    at = 0
    begins = True
    while block := os.pread(fd, _BLOCK, at):
        at += len(block)
        write(_tagged(block, tag, begins) if tag else block)
        begins = block.endswith(b"\n")
        if after_each is not None:
            after_each()
    return at


def _tagged(data: bytes, tag: bytes, begins: bool) -> bytes:
    """With the tag before each line; the first begins here only if that is said."""
    ends = data.endswith(b"\n")
    lines = data[:-1].split(b"\n") if ends else data.split(b"\n")
    text = (b"\n" + tag).join(lines)
    return (tag if begins else b"") + text + (b"\n" if ends else b"")


def _to_stderr(data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(_STDERR, view) :]
