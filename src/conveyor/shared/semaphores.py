"""Semaphore and BoundedSemaphore: as `multiprocessing`'s; what dead processes held comes back."""

from __future__ import annotations

from typing import Any

from .._memory.references import forget_received
from .._native import SemaphoreBase
from .._public import public
from ._cell import CellHandle

__all__ = ["BoundedSemaphore", "Semaphore"]

_LARGEST = 2**31 - 1  # as the standard library's


@public
class Semaphore(CellHandle, SemaphoreBase):
    """So many units that processes take and give back, with the methods of `multiprocessing.Semaphore`.

    Units that a process holds when it is killed are free again within a second; the `acquire` that found it says so by
    `recovered`. One that ends normally keeps them, until somebody releases them for it. That is so as long as everybody
    gives back what somebody took. A semaphore that one process releases and another acquires is a signal: then a unit
    that was taken is used up, and a death gives nothing back.
    """

    def __init__(self, value: int = 1, *, ctx: Any = None) -> None:
        """A new semaphore with `value` units free.

        Args:
            value: units that are free in the beginning.
            ctx: taken so that a `multiprocessing` context can make one.

        Raises:
            ValueError: value is negative, or above 2**31 - 1.
            OutOfMemory: no memory for it.
        """
        forget_received()
        SemaphoreBase.__init__(self, _checked(value), 0)

    def locked(self) -> bool:
        """Whether no unit is free, so that an acquire would have to wait; out of date at once."""
        return self.get_value() == 0

    def _get_value(self) -> int:
        return self.get_value()

    _is_zero = locked

    def __repr__(self) -> str:
        return f"<{type(self).__name__}(value={self.get_value()}{self._maximum()})>"

    def _maximum(self) -> str:
        return ""


@public
class BoundedSemaphore(Semaphore):
    """A `Semaphore` that never has more units free than in the beginning: a release too many is an error."""

    def __init__(self, value: int = 1, *, ctx: Any = None) -> None:
        """A new semaphore with `value` units free, and never more.

        Args:
            value: units that are free in the beginning.
            ctx: taken so that a `multiprocessing` context can make one.

        Raises:
            ValueError: value is negative, or above 2**31 - 1.
            OutOfMemory: no memory for it.
        """
        forget_received()
        value = _checked(value)
        # A bound of 0 would be none; nobody can release a semaphore that may have no units.
        SemaphoreBase.__init__(self, value, value or _LARGEST)

    def _maximum(self) -> str:
        return f", maxvalue={self._bound}"


def _checked(value: int) -> int:
    if not 0 <= value <= _LARGEST:
        raise ValueError(f"value is {value}; it must be from 0 to {_LARGEST}")
    return value
