"""SnapshotPage: memory in which a run shows how far it is; and how another program reads it.

The memory is a file without a path (memfd) that the run's process has open, under a name by which it is found among the
descriptors of all processes. It ends with the run, however that ends. Two places in it are written in turn, and a word
says which of them is whole, so there is a whole snapshot at any time, also when the writer was killed while it wrote. A
reader that is overtaken by the writer sees that from the checksum. Neither ever waits for the other.
"""

from __future__ import annotations

import errno
import os
import resource
import struct
import weakref
import zlib

from ...errors import CorruptSegment, VersionMismatch

__all__ = ["MOST_BYTES", "NAME", "VERSION", "SnapshotPage", "read_snapshot"]

NAME = "conveyor-pipeline"
"""What the kernel calls the file: a link in /proc/PID/fd reads `/memfd:conveyor-pipeline (deleted)`."""
VERSION = 1
"""Of the layout, and of what stands in the JSON; a field more is no other version."""
MOST_BYTES = (1 << 20) - 64
"""Of one snapshot."""
_MAGIC = b"CNVYRUN\n"
_HEADER = struct.Struct("=8sIIQ")
"""The magic number, the version, nothing, and the number of the last snapshot that is whole; 0: there is none."""
_SELECTOR = struct.Struct("=Q")
_SELECTOR_AT = 16
_SLOT = struct.Struct("=QII")
"""What precedes a snapshot: its number, its length in bytes, the CRC-32 of its bytes."""
_PLACES = (4096, 4096 + (1 << 20))
_TRIES = 4


class SnapshotPage:
    """The memory, for the one who writes.

    Raises:
        OSError: the system gives none.
    """

    def __init__(self) -> None:
        self._fd = os.memfd_create(NAME, os.MFD_CLOEXEC)
        self._number = 0
        _pages.add(self)
        try:
            self._write(0, _HEADER.pack(_MAGIC, VERSION, 0, 0))
        except BaseException:
            self.close()
            raise

    def write(self, snapshot: bytes) -> None:
        """Put this in the place of what is shown.

        Args:
            snapshot: at most `MOST_BYTES`.

        Raises:
            OSError: the system gives no more memory, or the process may write no such file; what was shown stays.
        """
        assert len(snapshot) <= MOST_BYTES
        number = self._number + 1
        head = _SLOT.pack(number, len(snapshot), zlib.crc32(snapshot))
        self._write(_PLACES[number & 1], head + snapshot)
        self._write(_SELECTOR_AT, _SELECTOR.pack(number))
        self._number = number

    def _write(self, place: int, data: bytes) -> None:
        limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
        if limit not in (resource.RLIM_INFINITY, -1) and place + len(data) > limit:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))  # the kernel would send a signal as well
        if os.pwrite(self._fd, data, place) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def close(self) -> None:
        """Show nothing any more."""
        fd, self._fd = self._fd, -1
        _pages.discard(self)
        if fd >= 0:
            os.close(fd)


_pages: weakref.WeakSet[SnapshotPage] = weakref.WeakSet()


def _let_go() -> None:
    """In a child: the parent's runs are not ours to show."""
    for page in list(_pages):
        page.close()


os.register_at_fork(after_in_child=_let_go)


def read_snapshot(fd: int) -> bytes | None:
    """The last snapshot that somebody wrote into this file; None: there is none yet.

    Args:
        fd: the file, to be read; nothing that may stand in it is trusted.

    Raises:
        CorruptSegment: it is nobody's `SnapshotPage`, or damaged.
        VersionMismatch: another version of conveyor has written it.
        OSError: it cannot be read.
    """
    for _ in range(_TRIES):
        header = os.pread(fd, _HEADER.size, 0)
        if not header:
            return None
        if len(header) < _HEADER.size or not header.startswith(_MAGIC):
            raise CorruptSegment("this is no page of a run's: its first bytes are not those of one")
        version: int
        selected: int
        _, version, _, selected = _HEADER.unpack(header)
        if version != VERSION:
            raise VersionMismatch(
                f"the run is shown by another version of conveyor: its page has layout {version}, "
                f"and this version reads {VERSION}"
            )
        if not selected:
            return None
        for place in (_PLACES[selected & 1], _PLACES[~selected & 1]):
            found = _read_slot(fd, place)
            if found is not None:
                return found
        # The writer was in both since we looked: try again.
    raise CorruptSegment("neither snapshot in the page of a run is whole")


def _read_slot(fd: int, place: int) -> bytes | None:
    head = os.pread(fd, _SLOT.size, place)
    if len(head) < _SLOT.size:
        return None
    number, length, checksum = _SLOT.unpack(head)
    if not number or length > MOST_BYTES:
        return None
    snapshot = os.pread(fd, length, place + _SLOT.size)
    return snapshot if len(snapshot) == length and zlib.crc32(snapshot) == checksum else None
