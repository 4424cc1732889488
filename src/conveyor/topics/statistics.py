"""What a topic tells about itself and its subscribers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from .._memory.units import BYTES
from .._public import public

__all__ = ["SubscriberStatistics", "TopicStatistics"]


@public
@dataclass(frozen=True, slots=True)
class SubscriberStatistics:
    """A snapshot of one subscription to a topic."""

    pid: int
    """The process that reads."""
    alive: bool
    """Whether that process lives; a dead one's subscription is struck out when it is in somebody's way."""
    when_slow: Literal["block", "drop_oldest", "fail"]
    """What it asked for."""
    seq: int
    """The number of the next event that it reads."""
    lag: int
    """Events that were published and that it has not read."""
    missed: int
    """Events that it lost because it was too slow."""
    received: int
    """Events that it has read, those that its keys or filter left out included."""


@public
@dataclass(frozen=True, slots=True)
class TopicStatistics:
    """A snapshot of a topic, over all processes and since it was made.

    Taking it reads shared memory and costs the topic's users nothing. The fields are read one after
    another while others go on.
    """

    published: int
    """Events that were published: the number of the next one."""
    bytes_published: int = field(metadata=BYTES)
    """Bytes of payload (pickled events) that were published."""
    bytes_kept: int = field(metadata=BYTES)
    """Bytes of the log that hold events now, headers and padding included."""
    max_bytes: int = field(metadata=BYTES)
    """Bytes of the log."""
    publish_waits: int
    """How often a publisher had to sleep for room."""
    memory_held: int = field(metadata=BYTES)
    """Bytes of memory that the topic occupies now."""
    memory_pinned: int = field(metadata=BYTES)
    """Bytes of it that received arrays lie in now, in all processes."""
    subscribers: tuple[SubscriberStatistics, ...] = ()
    """Those that there are now."""
