"""OpenFiles: which of conveyor's files are open in which process of this system."""

from __future__ import annotations

import os
import stat
import time
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from ..pipeline.snapshot.page import NAME as PAGE_NAME

__all__ = ["OpenFile", "OpenFiles"]

_ANONYMOUS = "/memfd:conveyor (deleted)"
_NAMED = "/dev/shm/conveyor."
# Of a named file, in the process that made it: it had no name at first.
_UNNAMED = "/dev/shm/#"
# Of the processes that are known, one of so many is looked at afresh at each look.
_TURNS = 10
_LONGEST = 1.0  # seconds

_RUN = f"/memfd:{PAGE_NAME}"

_Key = tuple[int, int]  # device, inode
# What is open at a descriptor: a segment, and how it is called; the page of a run; nothing of ours.
_What: TypeAlias = tuple[_Key, str | None, bool] | Literal["page"] | None


@dataclass(slots=True)
class OpenFile:
    """A queue's file, or that of a topic, a dict ...: open in some process, named or not."""

    device: int
    inode: int
    name: str | None
    """As in `shm://name`; None: the processes that have it open do not tell."""
    doubtful: bool
    """Whether it may be another program's."""
    holders: dict[int, str] = field(default_factory=dict[int, str])
    """By pid: where in /proc it can be opened."""

    @property
    def id(self) -> str:
        """What tells it from all others, in every look."""
        return f"{self.device:x}:{self.inode:x}"


class OpenFiles:
    """Looks again and again, and asks only for what may have changed.

    A descriptor whose number another file has taken meanwhile is noticed within ten looks; whoever opens it must look
    whether it is still the same.

    Args:
        share: what part of a processor this may take, for one who looks often: then not every look goes through all
            processes of the system, but one does in every second, and those between are told what that one found.
    """

    def __init__(self, share: float = 1.0) -> None:
        self._share = share
        self._next = 0.0
        self._found: dict[_Key, OpenFile] = {}
        # By pid and number of a descriptor: what is open there, if it is one of ours.
        self._known: dict[int, dict[str, _What]] = {}
        self._turn = 0
        self.pages: list[tuple[int, str]] = []
        """As of the last look: processes that have what may be the page of a pipeline's run, and where in /proc."""

    def look(self) -> dict[_Key, OpenFile]:
        """All of them: those of the processes whose descriptors we may see. As root, of all users; else, of our own.

        A process that only looks has its files open for reading, and is not counted.
        """
        now = time.monotonic()
        if now < self._next:
            return self._found
        before = time.thread_time()
        self._found = self._go_through()
        took = time.thread_time() - before
        self._next = now + min(took / self._share, _LONGEST) if self._share < 1 else now
        return self._found

    def _go_through(self) -> dict[_Key, OpenFile]:
        self._turn += 1
        found: dict[_Key, OpenFile] = {}
        self.pages = []
        known, self._known = self._known, {}
        for pid in _pids():
            try:
                numbers = os.listdir(f"/proc/{pid}/fd")  # noqa: PTH208 - thousands of paths: no Path objects
            except OSError:
                continue  # ended, or not ours
            before = {} if (self._turn + pid) % _TURNS == 0 else known.get(pid, {})
            now = self._known[pid] = {
                number: before[number] if number in before else _examine(pid, number) for number in numbers
            }
            for number, what in now.items():
                if what is None:
                    continue
                if what == "page":
                    self.pages.append((pid, f"/proc/{pid}/fd/{number}"))
                    continue
                key, name, doubtful = what
                if (file := found.get(key)) is None:
                    file = found[key] = OpenFile(*key, name, doubtful)
                elif name is not None:
                    file.name = name
                file.holders.setdefault(pid, f"/proc/{pid}/fd/{number}")
        return found


def _pids() -> list[int]:
    try:
        return [int(name) for name in os.listdir("/proc") if name.isdecimal()]  # noqa: PTH208
    except OSError:
        return []


def _examine(pid: int, number: str) -> _What:
    path = f"/proc/{pid}/fd/{number}"
    try:
        link = os.readlink(path)  # noqa: PTH115
        named = link.startswith(_NAMED)
        doubtful = link.startswith(_UNNAMED)
        page = link.startswith(_RUN)
        if not (link == _ANONYMOUS or named or doubtful or page) or not os.lstat(path).st_mode & 0o200:
            return None
        if page:
            return "page"
        status = os.stat(path)  # noqa: PTH116
    except OSError:
        return None
    if not stat.S_ISREG(status.st_mode):
        return None  # the readable descriptor beside a queue, or what else lies there
    name = link.removeprefix(_NAMED) if named and " (deleted)" not in link else None
    return (status.st_dev, status.st_ino), name, doubtful
