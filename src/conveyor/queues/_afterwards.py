"""What a queue is like after this process has closed it, and let go of its memory.

With `multiprocessing`, `qsize` and `full` of a closed queue go on telling the truth, and programs wait by them until
others have emptied it; a joinable one can still be joined. So its memory is looked at through any process that has it
open.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from .._native import Segment, _peek_header  # pyright: ignore[reportPrivateUsage]

__all__ = ["VISITING", "attach_elsewhere", "held_elsewhere", "look_elsewhere", "open_elsewhere"]

VISITING = os.O_NONBLOCK
"""With this in its mode, a file is open for one who only visits (`conveyor get LABEL`) and leaves again, so that nobody
is to rely on it. To a file of memory the flag means nothing else, and it is seen in /proc."""

_Identity = tuple[int, int]

# Where each was found last.
_found: dict[_Identity, str] = {}
_MOST_FOUND = 100


def look_elsewhere(identity: _Identity) -> dict[str, Any] | None:
    """What the header of that file says (`_native._peek_header`); None: nobody that we may look at has it open."""
    fd = open_elsewhere(identity, os.O_RDONLY)
    if fd is None:
        return None
    try:
        return _peek_header(fd)
    finally:
        os.close(fd)


def attach_elsewhere(identity: _Identity) -> Segment | None:
    """The queue's memory, or None if nobody has it open whom we may look at. Nobody can be told by it to look."""
    fd = open_elsewhere(identity, os.O_RDWR)
    return None if fd is None else Segment.attach(fd, -1)


def held_elsewhere(identity: _Identity) -> bool:
    """Whether another process that we may look at has it open."""
    fd = open_elsewhere(identity, os.O_RDONLY)
    if fd is None:
        return False
    os.close(fd)
    return True


def open_elsewhere(identity: _Identity, mode: int) -> int | None:
    """A descriptor of our own of that file; None: no other process that we may look at has it open.

    Args:
        identity: device and inode.
        mode: as of `os.open`; with VISITING, those who want to rely on the file do not find this one.
    """
    known = _found.pop(identity, None)
    for path in _descriptors_of_others(known):
        if (fd := _open(path, identity, mode)) is not None:
            while len(_found) >= _MOST_FOUND:
                _found.pop(next(iter(_found)), None)
            _found[identity] = path
            return fd
    return None


def _descriptors_of_others(known: str | None) -> Iterator[str]:
    if known is not None:
        yield known
    ours = str(os.getpid())
    try:
        names = os.listdir("/proc")  # noqa: PTH208  (thousands of paths: no Path objects)
    except OSError:
        return
    for pid in names:
        if not pid.isdigit() or pid == ours:
            continue
        try:
            numbers = os.listdir(f"/proc/{pid}/fd")  # noqa: PTH208
        except OSError:
            continue  # it has ended, or is another user's
        for number in numbers:
            yield f"/proc/{pid}/fd/{number}"


def _flags(path: str) -> int:
    """Of a descriptor in /proc: with which `open` it was opened."""
    with open(path.replace("/fd/", "/fdinfo/")) as told:  # noqa: PTH123
        for line in told:
            name, _, number = line.partition(":")
            if name == "flags":
                return int(number, 8)
    return 0


def _open(path: str, identity: _Identity, mode: int) -> int | None:
    # Looked at first: to open a descriptor that is something else might change something.
    try:
        found = os.stat(path)  # noqa: PTH116
        if (found.st_dev, found.st_ino) != identity or not os.lstat(path).st_mode & 0o200:
            return None  # who has it open for reading only watches, and lets go of it in a moment
        if _flags(path) & VISITING:
            return None
        fd = os.open(path, mode | os.O_CLOEXEC)
    except OSError:
        return None
    found = os.fstat(fd)
    if (found.st_dev, found.st_ino) == identity:
        return fd
    os.close(fd)
    return None
