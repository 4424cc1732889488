"""The examination of the named queues: sound, used, leaked, foreign, held up?"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

from .._native import Channel, Segment
from .._native import _is_alive as is_alive  # pyright: ignore[reportPrivateUsage]
from ..errors import CorruptSegment, OutOfMemory, VersionMismatch, WrongKind
from .finding import Finding, Level
from .named_segment import FOLDER, PREFIX, READY, NamedSegment
from .process import Process
from .size import size_text

__all__ = ["examine_queues"]

PATIENCE = 1.0  # seconds; a lock is held for microseconds
_LOCKS = {
    "consumers_lock": "the consumers' lock",
    "producers_lock": "the producers' lock",
    "pool_lock": "the lock of its memory",
    "ready_lock": "the lock of its descriptor",
}


def examine_queues(names: Collection[str] | None = None) -> Iterator[Finding]:
    """A finding for each file of this user's that is named as a queue is.

    Args:
        names: only these; None: all.
    """
    for path, status in NamedSegment.paths(names):
        name = path.name.removeprefix(PREFIX)
        if not NamedSegment.is_possible(path, status):
            yield Finding(
                "queue",
                str(path),
                Level.PROBLEM,
                f"not a queue, but {_kind(status)}; shm://{name} cannot be used",
                f"rm -ri {path}",
            )
            continue
        try:
            with NamedSegment(path) as segment:
                yield _examine(segment)
        except FileNotFoundError:
            continue  # removed meanwhile
        except OSError as error:
            yield Finding(
                "queue", f"shm://{name}", Level.PROBLEM, f"unreadable: {error}", f"chmod 600 {path}"
            )
    for path in sorted(FOLDER.glob(f"{PREFIX}*{READY}")):
        name = path.name.removeprefix(PREFIX).removesuffix(READY)
        if (names is None or name in names) and _is_left_over(path):
            yield Finding(
                "queue",
                str(path),
                Level.NOTE,
                "left over from a queue that was removed; harmless",
                f"rm {path}",
            )


def _kind(status: os.stat_result) -> str:
    for test, kind in (
        (stat.S_ISDIR, "a directory"),
        (stat.S_ISLNK, "a symbolic link"),
        (stat.S_ISFIFO, "a FIFO"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISREG, "a file whose name no queue can have"),
    ):
        if test(status.st_mode):
            return kind
    return "a device"


def _is_left_over(path: Path) -> bool:
    try:
        status = path.lstat()
        mine = stat.S_ISFIFO(status.st_mode) and status.st_uid == os.geteuid()
        return mine and not path.with_name(path.name.removesuffix(READY)).exists()
    except OSError:
        return False


def _examine(segment: NamedSegment) -> Finding:
    users = segment.users()
    in_use = bool(users) or not segment.lock_out()
    segment.let_in()
    facts: dict[str, Any] = {"memory": segment.memory, "users": [user.pid for user in users]}

    def finding(level: Level, text: str, advice: str = "") -> Finding:
        return Finding("queue", segment.url, level, text, advice, facts)

    remove = f"conveyor rm -f {segment.url}"
    try:
        try:
            seen = segment.glance()
        except WrongKind:
            seen = segment.glance_at_region()
            return _region(segment, finding, seen["text"], in_use, users)
    except VersionMismatch as error:
        if in_use:
            return finding(Level.NOTE, f"{error}; in use{_by(users)}")
        return finding(Level.PROBLEM, f"{error}; nobody uses it", remove)
    except CorruptSegment as error:
        return finding(Level.PROBLEM, f"{error}{f'; in use{_by(users)}' if in_use else ''}", remove)
    items = facts["items"] = seen["items"]
    facts["producers"] = [Process.of_owner(owner).pid for owner in seen["putting"] if is_alive(owner)]
    facts["consumers"] = [Process.of_owner(owner).pid for owner in seen["getting"] if is_alive(owner)]
    contents = f"{items:,} item{'' if items == 1 else 's'}, {size_text(segment.memory)}"
    if not seen["local"]:
        return finding(Level.NOTE, f"{contents}; of another pid namespace (container), to be examined there")
    try:
        trouble = _check(segment.name)
    except FileNotFoundError:
        raise
    except OutOfMemory as error:
        return finding(Level.PROBLEM, f"{contents}; not examined: {error}", "ulimit -v unlimited")
    except OSError as error:
        return finding(Level.PROBLEM, f"{contents}; not examined: {error}", remove)
    if trouble is None:
        return _held_up(segment, finding, contents, users)
    if trouble:
        return finding(Level.PROBLEM, f"{contents}; damaged: {trouble}", remove)
    if in_use:
        return finding(Level.OK, f"{contents}; in use{_by(users)}")
    if items:
        keep = f"conveyor info {segment.url}, or to drop them: {remove}"
        return finding(Level.NOTE, f"{contents}; kept for whoever attaches, nobody has now", keep)
    return finding(Level.PROBLEM, f"{contents}; leaked: nobody alive uses it", "conveyor gc")


def _region(
    segment: NamedSegment, finding: Callable[..., Finding], kind: str, in_use: bool, users: list[Process]
) -> Finding:
    """One that is no queue: its header is sound."""
    contents = f"a {kind}, {size_text(segment.memory)}"
    if in_use:
        return finding(Level.OK, f"{contents}; in use{_by(users)}")
    return finding(
        Level.NOTE, f"{contents}; kept for whoever attaches, nobody has now", f"conveyor rm -f {segment.url}"
    )


def _check(name: str) -> str | None:
    channel = Channel(Segment.open_named(name))
    return channel._check(PATIENCE)  # pyright: ignore[reportPrivateUsage]


def _held_up(
    segment: NamedSegment, finding: Callable[..., Finding], contents: str, users: list[Process]
) -> Finding:
    """Who holds the lock that we did not get."""
    seen = segment.glance()
    for lock, what in _LOCKS.items():
        owner = seen[lock]
        if not owner:
            continue
        holder = Process.of_owner(owner)
        held = f"{contents}; {what} has been held for a second by {holder}"
        if holder.is_stopped:
            return finding(Level.PROBLEM, f"{held}, which is stopped", f"kill -CONT {holder.pid}")
        if holder not in users:
            text = f"{held}, which does not use the queue: the lock is damaged"
            return finding(Level.PROBLEM, text, f"conveyor rm -f {segment.url}")
        return finding(Level.PROBLEM, held, f"py-spy dump --pid {holder.pid}")
    return finding(Level.NOTE, f"{contents}; too busy to be examined", "conveyor doctor")


def _by(users: list[Process]) -> str:
    if not users:
        return ""
    others = f" and {len(users) - 1} more" if len(users) > 1 else ""
    return f" by {users[0]}{others}"
