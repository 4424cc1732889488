"""The pipelines that run now, found by the pages that they show themselves in.

The page of a run (`pipeline/snapshot/page.py`) is a file without a path that the run's process has open. So we go
through the descriptors of all processes that we may look at, by their links, and read those that have the name of such
a page. That needs nothing of the processes, and does not touch them. A page counts only where it is at home: a child
that was forked of the run's process may have it open, too, and outlive that process.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections import Counter
from collections.abc import Generator

from ..errors import CorruptSegment, VersionMismatch
from ..pipeline.snapshot.page import NAME, read_snapshot
from .open_files import OpenFiles
from .pipeline_view import PipelineView
from .snapshot_fields import SnapshotFields
from .worker_uses import WorkerUses

__all__ = ["pipelines"]

_MOST_PAGES = 256  # of one process


def pipelines(open_files: OpenFiles | None = None) -> list[PipelineView]:
    """The pipelines that this user's processes run now, and the executors and `Workers` that they have; of all users
    for root. The one that began first comes first.

    A run is seen from about its 200th millisecond on. One whose page cannot be read is told of by its `error`.

    Args:
        open_files: of one who looks again and again: it costs less then.
    """
    files = open_files or OpenFiles()
    files.look()
    found: list[PipelineView] = []
    seen: set[tuple[int, int, int]] = set()
    of_process: Counter[int] = Counter()
    for pid, path in files.pages:
        of_process[pid] += 1
        if of_process[pid] > _MOST_PAGES:
            continue
        with contextlib.suppress(OSError), _opened(path) as fd:  # else it was closed at this moment
            status = os.fstat(fd)
            page = pid, status.st_dev, status.st_ino
            if page not in seen:  # else a duplicate of a descriptor
                seen.add(page)
                found += _run_on(fd, pid)
    return sorted(WorkerUses(found).shown(), key=lambda view: (view.started, view.id))


@contextlib.contextmanager
def _opened(path: str) -> Generator[int]:
    """A page to read. Another file may have come in its place, and to open a pipe or a device is not for us."""
    handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        here = f"/proc/self/fd/{handle}"
        is_page = os.readlink(here).startswith(f"/memfd:{NAME}")  # noqa: PTH115
        if not is_page or not stat.S_ISREG(os.fstat(handle).st_mode):
            raise FileNotFoundError(path)
        fd = os.open(here, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    finally:
        os.close(handle)
    try:
        yield fd
    finally:
        os.close(fd)


def _run_on(fd: int, pid: int) -> list[PipelineView]:
    """The run that this file tells of, if the process runs it."""
    try:
        snapshot = read_snapshot(fd)
        if snapshot is None:
            return []
        fields = SnapshotFields.parse(snapshot)
        pids = _pids(pid)
        if fields.count("pid") != pids[-1] or fields.count("process_started") != _started(pid):
            return []
        return [PipelineView.of(fields, pid, same_pids=len(pids) == 1)]
    except (CorruptSegment, VersionMismatch) as error:
        text = str(error)
    except RecursionError:
        text = "the snapshot of a run is nested too deeply"
    return [PipelineView(f"{pid}.{os.fstat(fd).st_ino}", pid, error=text)]


def _pids(pid: int) -> list[int]:
    """What the process is called here, and in each namespace within, down to the one that it lives in itself."""
    with open(f"/proc/{pid}/status", "rb") as file:  # noqa: PTH123
        for line in file:
            if line.startswith(b"NSpid:"):
                return [int(word) for word in line.split()[1:]]
    return [pid]  # the kernel has no namespaces


def _started(pid: int) -> int:
    """When the process began, in ticks since the machine was booted."""
    with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123
        return int(file.read().rpartition(b")")[2].split()[19])
