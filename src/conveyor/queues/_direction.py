"""The memory of one direction of a pipe, made when it is needed.

Most of what a pipe costs is its memory, and many pipes send little, one way only, or nothing: they only tell when a
process ends. So the memory is made when something is first sent, received or waited for, and at the latest when another
process gets the pipe: before a fork, and when an end is pickled.
"""

from __future__ import annotations

import os
import weakref
from typing import Any

from .._memory.labels import mark
from .._native import Segment

__all__ = ["Direction"]

# Bytes that may wait before `send` blocks; a larger message passes when nothing else waits.
_BOUND_BYTES = 1 << 20


class Direction:
    """Where one end sends to, and the other receives from. In a process both have the same object.

    Args:
        segment: the memory, if it came from another process.
    """

    __slots__ = ("__weakref__", "_made", "_name")

    def __init__(self, segment: Segment | None = None) -> None:
        # `setdefault` is atomic: of all threads that come first, one makes it for all.
        self._made: dict[str, Segment | Exception] = {}
        if segment is None:
            self._name = weakref.ref(self, _forget)
            _unmade[self._name] = None
        else:
            self._made["memory"] = segment

    def segment(self) -> Segment:
        """The memory.

        Raises:
            OSError, OutOfMemory: there is none to be had, or there was none when the process forked.
        """
        made = self._made.get("memory")
        if made is None:
            made = self._made.setdefault("memory", _make())
            _forget(self._name)
        if isinstance(made, Exception):
            raise made
        return made

    def before_fork(self) -> None:
        """Make it, as the two processes are to have the same. If that fails, neither will ever have any."""
        try:
            self.segment()
        except Exception as error:
            self._made.setdefault("memory", error)
        _forget(self._name)


_Name = weakref.ref[Any]
_unmade: dict[_Name, None] = {}


def _forget(name: _Name) -> None:
    _unmade.pop(name, None)


def _before_fork() -> None:
    for name in list(_unmade):
        if (direction := name()) is not None:
            direction.before_fork()


os.register_at_fork(before=_before_fork)


def _make() -> Segment:
    return mark(Segment.create(0, _BOUND_BYTES, soft=True, pipe=True))
