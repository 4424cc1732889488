"""The errors of conveyor, each named by whose fault it is.

`Full`, `Empty` and (from Python 3.13) `ShutDown` are the standard library's own classes,
so that code written for `queue` and `multiprocessing` catches them unchanged.
"""

from __future__ import annotations

from queue import Empty, Full

__all__ = [
    "CodecMismatch",
    "ConveyorError",
    "CorruptSegment",
    "Empty",
    "Full",
    "ItemTooLarge",
    "LeaseLost",
    "OutOfMemory",
    "SegmentGone",
    "TooManyLeases",
    "VersionMismatch",
]


class ConveyorError(Exception):
    """Base class of the errors that only conveyor raises."""


class ItemTooLarge(ConveyorError, ValueError):
    """The caller's item can never fit in this queue; the text names its size and the bound."""


class CodecMismatch(ConveyorError, TypeError):
    """An item was put with another codec than this end of the queue has; it stays in the queue."""


class LeaseLost(ConveyorError):
    """The lease is not the caller's any more: it was over, or the item was given back or acknowledged."""


class TooManyLeases(ConveyorError):
    """As many items are leased as a queue can keep track of; the next one stays in the queue."""


class OutOfMemory(ConveyorError, MemoryError):
    """The system would not give the memory; the item stays with the caller, the queue goes on."""


class CorruptSegment(ConveyorError, OSError):
    """What lies in the shared memory is not a sound conveyor segment."""


class VersionMismatch(CorruptSegment):
    """The segment was made by a conveyor of another layout version."""


class SegmentGone(ConveyorError, OSError):
    """The queue that this handle names no longer exists: every process that held it has gone."""
