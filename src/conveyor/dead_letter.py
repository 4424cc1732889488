"""What becomes of an item that nobody could deal with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["DeadLetter"]

T = TypeVar("T")


@dataclass(frozen=True)
class DeadLetter(Generic[T]):
    """An item that failed too often under lease, or was rejected; found in its queue's `dead_letters`."""

    item: T
    """The item, as it was put."""
    attempts: int
    """How often it was leased."""
    error: str
    """The last exception, "Type: text"; or why else it came back. Cut off after 192 bytes."""
    pid: int
    """The process that had it last."""
