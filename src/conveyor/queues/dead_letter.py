"""What becomes of an item that nobody could deal with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, TypeVar

from .._public import public

__all__ = ["DeadLetter"]

T = TypeVar("T")


@public
@dataclass(frozen=True)
class DeadLetter(Generic[T]):
    """An item that failed too often under lease, or was rejected; found in its queue's `dead_letters`."""

    item: T
    """The item, as it was put; of one that cannot be read (unpickled), what `raw` is."""
    attempts: int
    """How often it was leased."""
    error: str
    """The last exception, "Type: text"; or why else it came back. Cut off after 192 bytes."""
    pid: int
    """The process that had it last."""
    raw: bytes | None = None
    """Of an item that cannot be read: its pickle, or what the queue's codec made of it. None: it could be read."""
    buffers: tuple[bytes, ...] = ()
    """What goes with `raw`, as in `pickle.loads(letter.raw, buffers=letter.buffers)`."""
    producer_pid: int | None = field(default=None, compare=False)
    """The process that put it."""
