"""What a queue tells about itself."""

from __future__ import annotations

from dataclasses import dataclass, field

from .._memory.units import BYTES, SECONDS
from .._public import public

__all__ = ["Statistics"]


@public
@dataclass(frozen=True, slots=True)
class Statistics:
    """A snapshot of a queue, over all processes and since it was made.

    Taking it reads shared counters and costs the queue's users nothing. The fields are read one
    after another while others go on, so sums may be off by the operations under way.
    """

    items_in: int
    """Items that were put."""
    items_out: int
    """Items that were taken."""
    bytes_in: int = field(metadata=BYTES)
    """Bytes of payload (pickled items) that were put."""
    bytes_out: int = field(metadata=BYTES)
    """Bytes of payload that were taken."""
    depth: int
    """Items waiting now."""
    peak_depth: int
    """Most items that ever waited; while a backlog only grows and shrinks under load, within an eighth."""
    put_waits: int
    """How often a put had to sleep for room."""
    get_waits: int
    """How often a get had to sleep for an item."""
    put_blocked_seconds: float = field(metadata=SECONDS)
    """Seconds that puts slept, summed over all processes."""
    get_blocked_seconds: float = field(metadata=SECONDS)
    """Seconds that gets slept, summed over all processes."""
    producers: int
    """Living processes that have put at least once and still hold the queue."""
    consumers: int
    """Living processes that have tried to get at least once and still hold the queue."""
    memory_held: int = field(metadata=BYTES)
    """Bytes of memory that the queue occupies now, free pages kept for reuse included."""
    memory_lent: int = field(metadata=BYTES)
    """Bytes of it that received arrays lie in now, in all processes; whole pages of 64 KiB."""
    leased: int = 0
    """Items under lease now."""
    returned: int = 0
    """Items that were leased, came back and wait now, those with a delay included."""
    redelivered: int = 0
    """How often an item came back."""
    dead: int = 0
    """Items that failed too often or were rejected, and have gone to no dead letters."""
