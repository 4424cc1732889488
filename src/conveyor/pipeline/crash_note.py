"""CrashNote: where a worker was when native code crashed it, told by the dying process itself."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, BinaryIO

from .._references import duplicate_for_child

if TYPE_CHECKING:
    from .._references import Descriptor

__all__ = ["CrashNote"]

_FRAME = re.compile(r'^  File "(?P<file>.*)", line (?P<line>\d+) in (?P<function>.*)$', re.MULTILINE)


class CrashNote:
    """A bit of memory that the worker's `faulthandler` writes the Python stack to.

    The parent makes one for each worker and passes it on; it outlives the worker.
    """

    def __init__(self, fd: int | None = None) -> None:
        self._fd = os.memfd_create("conveyor-crash-note", os.MFD_CLOEXEC) if fd is None else fd
        self._file: BinaryIO | None = None

    def __reduce__(self) -> tuple[object, ...]:
        return _received, (duplicate_for_child(self._fd),)

    def enable(self) -> None:
        """In the worker: have a crash write here, unless the program has its own arrangement."""
        import faulthandler

        if not faulthandler.is_enabled():
            # The file object must live as long as the process: faulthandler keeps only its number.
            self._file = os.fdopen(self._fd, "wb", buffering=0, closefd=False)
            faulthandler.enable(self._file, all_threads=False)

    def read(self, most: int = 3) -> tuple[str, ...]:
        """In the parent, when the worker is dead: the innermost calls, as in `tools.py:12 in parse`.

        Args:
            most: how many calls at most; none of conveyor's own are among them.
        """
        text = os.pread(self._fd, 65536, 0).decode("utf-8", "replace")
        calls: list[str] = []
        for frame in _FRAME.finditer(text):
            if frame["file"].startswith(_PACKAGE) or len(calls) == most:
                break  # what called the user's function, and so on, tells nothing
            calls.append(f"{os.path.basename(frame['file'])}:{frame['line']} in {frame['function']}")  # noqa: PTH119
        return tuple(calls)

    def close(self) -> None:
        """In the parent: let go of it."""
        os.close(self._fd)


_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120 - no Path on the way up


def _received(duplicate: Descriptor) -> CrashNote:
    return CrashNote(duplicate.detach())
