"""Lock and RLock: as `multiprocessing`'s, and they survive the death of their holder."""

from __future__ import annotations

from typing import Any

from .._memory.owner import pid_of
from .._memory.references import forget_received
from .._native import LockBase, Region, RLockBase, _is_alive  # pyright: ignore[reportPrivateUsage]
from .._public import public
from ._cell import CellHandle

__all__ = ["Lock", "RLock"]


@public
class Lock(CellHandle, LockBase):
    """A lock between processes, with the methods of `multiprocessing.Lock`.

    Goes to any process: as an argument of `Process` under every start method, in a `Pool`'s tasks, through a queue.
    When the process that holds it is killed, the next `acquire` returns within a second, and `recovered` is True then:
    what the lock guards may be half-changed. A process that ends normally leaves it held, as with the standard library.
    Not reentrant; any process and thread may release it.
    """

    def __init__(self, *, ctx: Any = None) -> None:
        """A new lock, which nobody holds.

        Args:
            ctx: taken so that a `multiprocessing` context can make one; the lock works under all start methods.

        Raises:
            OutOfMemory: no memory for it.
        """
        forget_received()
        LockBase.__init__(self)

    @classmethod
    def _at(cls, region: Region, offset: int) -> Lock:
        """The lock that lies there."""
        lock = cls.__new__(cls)
        LockBase.__init__(lock, region, offset)
        return lock

    def __repr__(self) -> str:
        return f"<{type(self).__name__}(owner={_owner(self)})>"


@public
class RLock(CellHandle, RLockBase):
    """A lock that its thread may take again, with the methods of `multiprocessing.RLock`.

    As `Lock` in all else: it goes to any process, and `recovered` says that the last holder died. A thread takes it
    through whatever handle: two that stand for the same lock in one process count together.
    """

    def __init__(self, *, ctx: Any = None) -> None:
        """A new lock, which nobody holds.

        Args:
            ctx: taken so that a `multiprocessing` context can make one; the lock works under all start methods.

        Raises:
            OutOfMemory: no memory for it.
        """
        forget_received()
        RLockBase.__init__(self)

    def _count(self) -> int:
        return self._depth

    @classmethod
    def _at(cls, region: Region, offset: int) -> RLock:
        """The lock that lies there, beside what it guards."""
        lock = cls.__new__(cls)
        RLockBase.__init__(lock, region, offset)
        return lock

    def __repr__(self) -> str:
        # As with the standard library: only the holder itself can ask how often.
        count = self._depth if self._is_mine() or not self._holder else "nonzero"
        return f"<{type(self).__name__}(owner={_owner(self)}, count={count})>"


_MARK_SHIFT = (
    23  # what tells a process from another of its number; nothing of it is left of one that has exited
)


def _owner(lock: LockBase) -> str:
    holder = lock._holder  # pyright: ignore[reportPrivateUsage]
    if not holder:
        return "None"
    if lock._is_mine():  # pyright: ignore[reportPrivateUsage]
        return "this process"
    if holder == lock._region.owner:  # pyright: ignore[reportPrivateUsage]
        return "another thread of this process"
    process = f"process {pid_of(holder)}"
    return process if holder >> _MARK_SHIFT and _is_alive(holder) else f"{process}, which has ended"
