"""SharedBuffers: the large buffers of a job, such as arrays, in one file for all workers that are started anew."""

from __future__ import annotations

import mmap
import os
import pickle
import sys
from typing import Any

__all__ = ["MOST_INLINE", "ReceivedBuffers", "SharedBuffers"]

MOST_INLINE = 64 * 1024
"""Bytes of a buffer that travels within the pickle."""
_ALIGNED = 4096


class SharedBuffers:
    """Collects the buffers of pickles that hold the same objects: each is written once, and mapped by every worker.

    Closed when no more workers are started.
    """

    def __init__(self) -> None:
        self._fd = -1
        self._end = 0
        # By the identity of the object whose buffer it is, which is kept so that no other gets that.
        self._places: dict[int, tuple[int, int]] = {}
        self._kept: list[Any] = []

    def place(self, buffer: pickle.PickleBuffer) -> tuple[int, int] | None:
        """Where the buffer stands in the file, and its size; None: it is to stay in the pickle."""
        try:
            with buffer.raw() as raw:
                owner, size = raw.obj, raw.nbytes
                if size <= MOST_INLINE:
                    return None
                found = self._places.get(id(owner))
                if found is None or found[1] != size:
                    found = self._places[id(owner)] = self._write(raw), size
                    self._kept.append(owner)
                return found
        except BufferError:  # its bytes are not in a row
            return None

    def _write(self, raw: memoryview) -> int:
        if self._fd < 0:
            self._fd = os.memfd_create("conveyor-arguments", os.MFD_CLOEXEC)
        at = self._end
        done = 0
        while done < raw.nbytes:
            done += os.pwrite(self._fd, raw[done:], at + done)
        self._end = -(-(at + done) // _ALIGNED) * _ALIGNED
        return at

    def received(self, places: list[tuple[int, int]]) -> ReceivedBuffers | None:
        """For the process that is being started: those buffers; None if there are none."""
        if not places:
            return None
        from ..._memory.passing import shared_descriptor_for_child

        return ReceivedBuffers(shared_descriptor_for_child(self._fd), places)

    def close(self) -> None:
        """Let go of the file; workers that map it keep it."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._end = -1, 0
        self._places.clear()
        self._kept.clear()


class ReceivedBuffers:
    """The buffers, in a worker.

    Args:
        descriptor: the file, on its way.
        places: where each begins, and its size.
    """

    def __init__(self, descriptor: Any, places: list[tuple[int, int]]) -> None:
        self._descriptor = descriptor
        self._places = places

    def map(self) -> list[memoryview]:
        """Their memory, shared until it is written to; what is written is seen by nobody else."""
        fd = self._descriptor.detach()
        try:
            access: dict[str, Any] = {"flags": mmap.MAP_PRIVATE, "prot": mmap.PROT_READ | mmap.PROT_WRITE}
            if sys.version_info >= (3, 13):
                access["trackfd"] = False
            whole = memoryview(mmap.mmap(fd, os.fstat(fd).st_size, **access))
        finally:
            os.close(fd)
        return [whole[at : at + size] for at, size in self._places]
