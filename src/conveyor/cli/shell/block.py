"""block_to_read: bytes as a file that a command can open, and that nobody finds."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager

__all__ = ["block_to_read"]


@contextmanager
def block_to_read(block: bytes) -> Generator[bytes]:
    """In the block, a path by which this user's processes may read these bytes.

    It is memory, not a file of a disk, and goes when nobody has it open any more.

    Args:
        block: the bytes.

    Raises:
        OSError: the system gives no memory, or no more descriptors.
    """
    fd = os.memfd_create("conveyor-block", os.MFD_CLOEXEC)
    try:
        view = memoryview(block)
        while view:
            view = view[os.write(fd, view) :]
        yield b"/proc/%d/fd/%d" % (os.getpid(), fd)
    finally:
        os.close(fd)
