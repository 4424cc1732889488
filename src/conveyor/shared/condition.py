"""Condition: waiting, under a lock, for another process to say that something has changed."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from .._memory.references import RegionReference, forget_received
from .._native import ConditionBase, LockBase, Region, enter_condition, leave_condition
from .._public import public
from ._cell import CellHandle
from .locks import Lock, RLock

__all__ = ["Condition"]

R = TypeVar("R")

_ALL = 2**32 - 1


@public
class Condition(CellHandle, ConditionBase):
    """A condition with its lock, with the methods of `multiprocessing.Condition`.

    A notification reaches somebody alive: the dead are passed over, and when a process dies that was notified and has
    not got the lock again, another waiter is notified within a second. If the lock was taken from a process that died,
    `recovered` says so after `acquire` and `wait`. As with any condition, `wait` may in rare cases return without a
    notification (a death, more than 56 that wait): look at what you wait for again, or use `wait_for`.
    """

    def __init__(self, lock: Lock | RLock | None = None, *, ctx: Any = None) -> None:
        """A new condition.

        Args:
            lock: a `Lock` or `RLock` of conveyor's or of `multiprocessing`'s; None: an `RLock` of its own.
            ctx: taken so that a `multiprocessing` context can make one.

        Raises:
            TypeError: lock is something else.
            OutOfMemory: no memory for it.
        """
        forget_received()
        ConditionBase.__init__(self)
        self._set_lock(RLock() if lock is None else lock)

    def _set_lock(self, lock: Any) -> None:
        if not isinstance(lock, LockBase) and not hasattr(lock, "_semlock"):
            raise TypeError(
                f"lock is {lock!r}; it must be a Lock or RLock of conveyor's or multiprocessing's"
            )
        self._lock: Any = lock
        self._ours = isinstance(lock, LockBase)
        # What is written in C: no signal's handler comes between its steps.
        whole: Any = lock
        self._locked: Any = whole if self._ours else whole._semlock
        self.acquire: Callable[..., bool] = lock.acquire
        """Take the lock."""
        self.release: Callable[[], None] = lock.release
        """Give up the lock."""

    def __getstate__(self) -> tuple[Any, ...]:
        return (*CellHandle.__getstate__(self), self._lock)

    def __setstate__(self, state: tuple[RegionReference, int, Any]) -> None:  # type: ignore[override]  # pyright: ignore
        reference, offset, lock = state
        region: Region = reference.open()
        ConditionBase.__init__(self, region, offset)
        self._set_lock(lock)

    @property
    def recovered(self) -> bool:
        """Whether the lock, when last taken through this handle, was taken from a process that died holding it."""
        return bool(getattr(self._lock, "recovered", False))

    def wait(self, timeout: float | None = None) -> bool:
        """Give up the lock, wait for a notification, and take the lock again; False: none came in `timeout` seconds.

        Raises:
            AssertionError: the caller does not hold the lock.
        """
        return self._wait(self._locked, self._ours, timeout)

    def wait_for(self, predicate: Callable[[], R], timeout: float | None = None) -> R:
        """Wait until `predicate()` is true, and return what it returned last.

        Args:
            predicate: called with the lock held: at once, and after each notification.
            timeout: seconds, after which what it returned is returned, though it is not true; None: for ever.
        """
        result = predicate()
        if result or timeout is None:
            while not result:
                self.wait()
                result = predicate()
            return result
        end = time.monotonic() + timeout
        while not result:
            left = end - time.monotonic()
            if left <= 0:
                break
            self.wait(left)
            result = predicate()
        return result

    def notify(self, n: int = 1) -> None:
        """Let go on `n` of those that wait, the longest waiting first.

        Raises:
            AssertionError: the caller does not hold the lock.
        """
        if not self._locked._is_mine():
            raise AssertionError("lock is not owned: acquire the condition before notify()")
        if n > 0:
            self._notify(min(n, _ALL))

    def notify_all(self) -> None:
        """Let go on all that wait.

        Raises:
            AssertionError: the caller does not hold the lock.
        """
        self.notify(_ALL)

    if TYPE_CHECKING:

        def __enter__(self) -> bool: ...
        def __exit__(
            self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
        ) -> None: ...

    else:
        __enter__ = enter_condition
        __exit__ = leave_condition

    def __repr__(self) -> str:
        return f"<{type(self).__name__}({self._lock!r}, waiting={self._waiting})>"
