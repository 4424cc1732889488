"""Barrier: so many processes wait for each other, and go on together."""

from __future__ import annotations

from collections.abc import Callable
from threading import BrokenBarrierError
from typing import Any

from .._memory.references import RegionReference, forget_received
from .._native import BarrierBase, Region
from .._public import public
from ._cell import CellHandle

__all__ = ["Barrier", "BrokenBarrierError"]

_MOST = 2**20


@public
class Barrier(CellHandle, BarrierBase):
    """A meeting point of processes, with the methods of `multiprocessing.Barrier`.

    A party that dies while it waits, or in the action, breaks the barrier within a second: the others get
    `BrokenBarrierError`, and nobody waits for ever for parties that will never be complete.
    """

    def __init__(
        self,
        parties: int,
        action: Callable[[], object] | None = None,
        timeout: float | None = None,
        *,
        ctx: Any = None,
    ) -> None:
        """A new barrier.

        Args:
            parties: how many must wait before all go on.
            action: called by one of them, when all have come and before they go on.
            timeout: seconds that `wait` waits at most unless it says otherwise; None: for ever.
            ctx: taken so that a `multiprocessing` context can make one.

        Raises:
            ValueError: parties is below 1 or above 2**20.
            OutOfMemory: no memory for it.
        """
        if not 1 <= parties <= _MOST:
            raise ValueError(f"parties is {parties}; it must be from 1 to {_MOST}")
        forget_received()
        BarrierBase.__init__(self, parties)
        self._action = action
        self._timeout = timeout

    def __getstate__(self) -> tuple[Any, ...]:
        return (*CellHandle.__getstate__(self), self._action, self._timeout)

    def __setstate__(self, state: tuple[RegionReference, int, Any, Any]) -> None:  # type: ignore[override]  # pyright: ignore
        reference, offset, self._action, self._timeout = state
        region: Region = reference.open()
        BarrierBase.__init__(self, region, offset)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the others; a number from 0 to `parties` - 1 that no other party gets this time.

        Args:
            timeout: seconds; after that the barrier is broken. None: the barrier's own.

        Raises:
            threading.BrokenBarrierError: the barrier is broken, was reset while we waited, or a party died; or this
                wait took too long, or was interrupted, which breaks it for all.
        """
        index = self._wait(self._timeout if timeout is None else timeout, self._action)
        if index is None:
            raise BrokenBarrierError
        return index

    def reset(self) -> None:
        """Make it as new; those that wait get `BrokenBarrierError`."""
        BarrierBase.reset(self)

    def abort(self) -> None:
        """Break it: all that wait, and all that come until `reset`, get `BrokenBarrierError`."""
        BarrierBase.abort(self)

    def __repr__(self) -> str:
        state = "broken" if self.broken else f"waiters={self.n_waiting}/{self.parties}"
        return f"<{type(self).__name__} at {id(self):#x}: {state}>"
