"""Collecting named queues that nobody uses.

The race. A process may attach while we look. A process that attaches opens the file, takes a shared lock on it
(flock), and then looks whether the file still has a name; it keeps the lock as long as it has the file
open or mapped. The collector takes an exclusive lock without waiting, looks at the file, and unlinks it
while it still holds that lock. So of the two, one comes first:

- the attacher's lock: then the collector's fails, and the queue is in use;
- the collector's lock: then the attacher waits for the moment that this takes, finds the file without a
  name, and goes on as if it had come after the removal: it makes a new queue, or says that there is none.

An item put by a process that has left is counted by the collector under its lock, when nobody else can
put or get; so what is removed without --force was empty. A collector that is killed leaves the file as
it was, or removed: the kernel takes its lock back. `remove` holds a shared lock while it unlinks, so the
name cannot pass to a new queue between the collector's last look and its unlink. docs/adr/0008 has more.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from ..errors import CorruptSegment, VersionMismatch, WrongKind
from .named_segment import PREFIX, READY, NamedSegment

__all__ = ["Collected", "Outcome", "collect"]


class Outcome(StrEnum):
    """What became of a queue."""

    REMOVED = "removed"
    WOULD_REMOVE = "would remove"
    REFUSED = "refused"
    """Nobody uses it, and it was not certain that nothing is lost."""
    IN_USE = "in use"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Collected:
    """One named queue, and what was done with it."""

    url: str
    outcome: Outcome
    reason: str
    items: int | None = None
    """Items that wait in it; None: nobody can tell."""
    memory: int = 0
    """Bytes that it holds, or held."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def collect(
    names: Collection[str] | None = None, *, force: bool = False, dry_run: bool = False
) -> list[Collected]:
    """Remove the named queues of this user that nobody alive uses.

    Args:
        names: only these; None: all.
        force: also those in which items wait, or of which nobody can tell: damaged, or of another version.
        dry_run: remove nothing, only say what would be.
    """
    found: list[Collected] = []
    for path, status in NamedSegment.paths(names):
        if not NamedSegment.is_possible(path, status):
            continue  # another user's: the doctor reports it
        url = f"shm://{path.name.removeprefix(PREFIX)}"
        try:
            with NamedSegment(path) as segment:
                found.append(_collect_one(segment, force, dry_run))
        except FileNotFoundError:
            continue  # removed by another at this moment
        except OSError as error:
            found.append(Collected(url, Outcome.FAILED, str(error)))
    return found


def _collect_one(segment: NamedSegment, force: bool, dry_run: bool) -> Collected:
    memory = segment.memory
    if not segment.lock_out():
        return Collected(segment.url, Outcome.IN_USE, "in use", memory=memory)
    if not segment.is_at_its_place():
        raise FileNotFoundError(segment.path)
    # A version of conveyor that knows nothing of the lock would still be seen here.
    if users := segment.users():
        return Collected(segment.url, Outcome.IN_USE, f"in use by {users[0]}", memory=memory)
    items: int | None = None
    try:
        items = segment.glance()["items"]
        doubt = f"{items:,} item{'' if items == 1 else 's'} in it" if items else ""
    except WrongKind:
        doubt = _region(segment)
    except VersionMismatch:
        doubt = "of another version of conveyor: what is in it cannot be counted"
    except CorruptSegment as error:
        doubt = f"damaged: {error}"
    if doubt and not force:
        return Collected(segment.url, Outcome.REFUSED, doubt, items, memory)
    outcome = Outcome.WOULD_REMOVE if dry_run else Outcome.REMOVED
    if not dry_run:
        # In this order: killed in between, we leave a whole queue, whose next user makes the other again.
        with contextlib.suppress(FileNotFoundError):
            segment.path.with_name(segment.path.name + READY).unlink()
        segment.path.unlink()
    return Collected(segment.url, outcome, doubt or "empty", items, memory)


def _region(segment: NamedSegment) -> str:
    """What it is that is no queue; nobody can say of it that nothing in it is wanted."""
    try:
        return f"a {segment.glance_at_region()['text']}: kept until it is removed by name"
    except VersionMismatch:
        return "of another version of conveyor"
    except CorruptSegment as error:
        return f"damaged: {error}"
