"""survey: everything of conveyor's that can be seen on this machine, at one moment."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

from .._native import _is_alive as is_alive  # pyright: ignore[reportPrivateUsage]
from .named_segment import PREFIX, NamedSegment, path_of
from .open_files import OpenFile, OpenFiles
from .process_view import ProcessView
from .segment_view import SegmentView

__all__ = ["Survey", "survey"]


@dataclass(frozen=True, slots=True)
class Survey:
    """What was seen."""

    at: float
    """By the monotonic clock, in seconds: for rates between two surveys."""
    time: float
    """Seconds since 1970."""
    segments: tuple[SegmentView, ...]
    """Queues first, then topics, and the rest; each by its title."""
    processes: dict[int, ProcessView]
    """Those that have one of them open, by pid."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "time": self.time,
            "segments": [segment.as_dict() for segment in self.segments],
            "processes": [process.as_dict() for process in self.processes.values()],
        }

    def find(self, word: str) -> list[SegmentView]:
        """Those that somebody means by this word: a URL, a name, an id, a label, a place, or the pid of a user."""
        tests: tuple[Callable[[SegmentView], bool], ...] = (
            lambda each: word in (each.url, each.id) or each.url == f"shm://{word}",
            lambda each: each.label == word,
            lambda each: word in (each.place, each.place.rpartition("/")[2]),
            lambda each: word.isdecimal() and int(word) in each.users,
        )
        for test in tests:
            if found := list(filter(test, self.segments)):
                return found
        return []


_ORDER = ("queue", "topic", "dict", "list", "array", "state", "")


def survey(open_files: OpenFiles | None = None, before: Survey | None = None) -> Survey:
    """Look at all segments of this user: those that a process has open, and the named ones that nobody has.

    Nothing is attached, locked or changed, and nobody is waited for. A file is open for reading as long as it takes
    to read its header. What has ended meanwhile is left out.

    Args:
        open_files: of one who looks again and again: it costs less then.
        before: the survey before, if there was one: likewise.
    """
    at, now = time.monotonic(), time.time()
    files = (open_files or OpenFiles()).look()
    # Whoever looks again and again may be told of holders that have ended since.
    pids = sorted({pid for file in files.values() for pid in file.holders})
    known = {} if before is None else before.processes
    looks = ((pid, ProcessView.look(pid, known.get(pid))) for pid in pids)
    processes = {pid: process for pid, process in looks if process is not None and process.state != "Z"}
    alive = cache(is_alive)  # twenty processes that have a hundred queues are asked for twenty times
    names = {
        (status.st_dev, status.st_ino): path.name.removeprefix(PREFIX)
        for path, status in NamedSegment.paths()
        if NamedSegment.is_possible(path, status)
    }
    looks_at = (_look(file, names.get(key), processes, alive) for key, file in files.items())
    views = [view for view in looks_at if view is not None]
    shown = {view.url for view in views}
    views += _unused(name for name in names.values() if f"shm://{name}" not in shown)
    views.sort(key=lambda view: (_ORDER.index(view.kind), view.url is None, view.title, view.id))
    return Survey(at, now, tuple(views), processes)


def _look(
    file: OpenFile, name: str | None, processes: Container[int], alive: Callable[[int], bool]
) -> SegmentView | None:
    users = tuple(sorted(filter(processes.__contains__, file.holders)))
    for pid in users:
        path = file.holders[pid]
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            continue  # that one has just let go of it
        try:
            status = os.fstat(fd)
            if (status.st_dev, status.st_ino) != (file.device, file.inode):
                continue
            view = SegmentView.look(fd, file.id, name or file.name, users, alive)
            if view.error and name is None and (file.doubtful or not any(os.pread(fd, 8, 0))):
                return None  # another program's, or one that is just being made: its mark is written last
            return view
        finally:
            os.close(fd)
    return None


def _unused(names: Iterable[str]) -> Iterable[SegmentView]:
    for name in names:
        try:
            segment = NamedSegment(path_of(name))
        except OSError:
            continue  # removed meanwhile
        with segment:
            status = segment.status
            yield SegmentView.look(segment.fd, f"{status.st_dev:x}:{status.st_ino:x}", name)
