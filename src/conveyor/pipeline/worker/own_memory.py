"""OwnMemory: how much memory a process has to itself."""

from __future__ import annotations

import ctypes
import os

__all__ = ["OwnMemory"]

_PAGE = os.sysconf("SC_PAGE_SIZE")


class OwnMemory:
    """The anonymous memory of this process that is in RAM, beyond what it began with.

    That leaves out shared memory, in which items and arrays may lie, mapped files, and, in a copy of the program, what
    that had.

    Args:
        is_copy: whether the process is a copy of another, so that what it has now is not its own.
    """

    def __init__(self, is_copy: bool) -> None:
        self._fd = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
        if is_copy:
            _give_back_free_memory()
        self._before = self._bytes() if is_copy else 0

    def _bytes(self) -> int:
        words = os.pread(self._fd, 256, 0).split()
        return (int(words[1]) - int(words[2])) * _PAGE

    def now(self) -> int:
        """Bytes."""
        return max(self._bytes() - self._before, 0)

    def close(self) -> None:
        """Ask no more."""
        os.close(self._fd)


def _give_back_free_memory() -> None:
    """What the allocator of the program kept for later would be filled here without being counted."""
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):  # another C library than glibc
        return
    trim(0)
