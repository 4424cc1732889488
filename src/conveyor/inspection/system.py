"""The examination of the system: is there all that queues need, and enough of it?"""

from __future__ import annotations

import multiprocessing
import os
import platform
import resource
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from .. import __version__
from .._control_groups import MemoryLimit
from .._control_groups.control_group import GROUPS, PROC, control_groups
from .._native import _futex_error  # pyright: ignore[reportPrivateUsage]
from .._processors import processors, quota
from .finding import Finding, Level
from .named_segment import FOLDER
from .size import size_text

__all__ = ["examine_system", "tightest_memory_limit"]

# Below these a queue may fail for want of it.
_LEAST_SPACE = 64 * 2**20
_LEAST_DESCRIPTORS = 256
_LEAST_ADDRESSES = 2**30


def examine_system() -> Iterator[Finding]:
    """A finding for each thing that queues depend on."""
    for look in (
        _versions,
        _memfd,
        _futex,
        _shared_folder,
        _memory_limit,
        _address_space,
        _descriptors,
        _locked_memory,
        _start_method,
        _processors,
        _pid_namespace,
    ):
        yield look()


def _finding(
    subject: str, level: Level, text: str, advice: str = "", /, **facts: int | str | None
) -> Finding:
    return Finding("system", subject, level, text, advice, dict(facts))


def _versions() -> Finding:
    python = platform.python_version()
    text = f"conveyor {__version__}, {platform.python_implementation()} {python}, Linux {platform.release()}"
    return _finding(
        "versions", Level.OK, text, conveyor=__version__, python=python, kernel=platform.release()
    )


def _memfd() -> Finding:
    try:
        os.close(os.memfd_create("conveyor-doctor", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING))
    except OSError as error:
        return _finding(
            "memfd_create",
            Level.PROBLEM,
            f"no queue can be made: {error}",
            "allow memfd_create in the sandbox",
        )
    return _finding("memfd_create", Level.OK, "works")


def _futex() -> Finding:
    if error := _futex_error():
        return _finding(
            "futex",
            Level.PROBLEM,
            f"nobody can wait without burning processor time: {os.strerror(error)}",
            "allow futex in the sandbox",
        )
    return _finding("futex", Level.OK, "works")


def _shared_folder(folder: Path = FOLDER) -> Finding:
    subject = str(folder)
    consequence = "named queues (shm://…) cannot be made"
    try:
        usage = shutil.disk_usage(folder)
        os.close(os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600))
    except OSError as error:
        return _finding(subject, Level.PROBLEM, f"{error}: {consequence}", "mount -t tmpfs tmpfs /dev/shm")
    text = f"{size_text(usage.free)} free of {size_text(usage.total)}"
    facts: dict[str, int | str | None] = {"total": usage.total, "free": usage.free}
    if usage.free < _LEAST_SPACE:
        text += "; named queues may run out of it"
        if usage.total <= _LEAST_SPACE:  # the default of a container
            return _finding(subject, Level.NOTE, text, "docker run --shm-size=1g …", **facts)
        return _finding(subject, Level.PROBLEM, text, f"conveyor gc; ls -l {folder}", **facts)
    return _finding(subject, Level.OK, text, "", **facts)


def tightest_memory_limit(proc: Path = PROC, groups: Path = GROUPS) -> MemoryLimit | None:
    """The limit, of our control group and those around it, of which least is left; None: none that can be seen.

    Args:
        proc, groups: as for `control_groups`.
    """
    limits = (group.memory() for group in control_groups("memory", proc, groups))
    return min((limit for limit in limits if limit is not None), key=lambda each: each.left, default=None)


def _memory_limit(find: Callable[[], MemoryLimit | None] = tightest_memory_limit) -> Finding:
    found = find()
    if found is None:
        return _finding("memory limit", Level.OK, "none for this control group", limit=None)
    text = f"{size_text(found.used)} used of {size_text(found.limit)}; what waits in queues counts"
    facts: dict[str, int | str | None] = {"limit": found.limit, "used": found.used}
    if found.used > 0.9 * found.limit:
        return _finding(
            "memory limit", Level.PROBLEM, text, "bound queues by max_bytes=, or raise it", **facts
        )
    return _finding("memory limit", Level.OK, text, "", **facts)


def _limit(which: int) -> int | None:
    soft, _ = resource.getrlimit(which)
    return None if soft == resource.RLIM_INFINITY else soft


def _address_space() -> Finding:
    limit = _limit(resource.RLIMIT_AS)
    if limit is None:
        return _finding("ulimit -v", Level.OK, "unlimited", limit=None)
    text = f"{size_text(limit)} of addresses: a queue takes 1 MiB, and what its backlog grows to"
    if limit < _LEAST_ADDRESSES:
        return _finding("ulimit -v", Level.PROBLEM, text, "ulimit -v unlimited", limit=limit)
    return _finding("ulimit -v", Level.NOTE, text, "ulimit -v unlimited", limit=limit)


def _descriptors() -> Finding:
    limit = _limit(resource.RLIMIT_NOFILE)
    if limit is None:
        return _finding("ulimit -n", Level.OK, "unlimited", limit=None)
    text = f"{limit:,} descriptors; a queue takes one, and another once two processes have it"
    level = Level.OK if limit >= _LEAST_DESCRIPTORS else Level.PROBLEM
    return _finding("ulimit -n", level, text, "" if level is Level.OK else "ulimit -n 4096", limit=limit)


def _locked_memory() -> Finding:
    limit = _limit(resource.RLIMIT_MEMLOCK)
    text = "unlimited" if limit is None else size_text(limit)
    return _finding("ulimit -l", Level.OK, f"{text}; queues lock no memory", limit=limit)


def _start_method() -> Finding:
    method = multiprocessing.get_start_method(allow_none=True) or multiprocessing.get_all_start_methods()[0]
    return _finding("start method", Level.OK, f"{method}, by default; any will do", method=method)


def _processors() -> Finding:
    usable, there = processors(), os.cpu_count() or 1
    text = f"{usable} usable of {there}"
    if (limit := quota()) is not None and limit < len(os.sched_getaffinity(0)):
        text += f", for the control group has the time of {limit:g}"
    if usable == 1:
        text += "; a waiter sleeps at once, which costs it some microseconds"
    level = Level.NOTE if usable == 1 else Level.OK
    return _finding("processors", level, text, usable=usable, present=there)


def _pid_namespace() -> Finding:
    try:
        inode = Path("/proc/self/ns/pid").stat().st_ino
        (Path("/proc") / str(os.getpid()) / "stat").read_bytes()
    except OSError as error:
        text = f"{error}: the dead cannot be told from the living"
        return _finding("pid namespace", Level.PROBLEM, text, "mount -t proc proc /proc")
    text = f"pid:[{inode}]; named queues cannot be shared with processes of another"
    return _finding("pid namespace", Level.OK, text, inode=inode)
