"""Condition: waiting, under a lock, for another process to say that something has changed."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeVar, cast

from ._handles import CellHandle
from ._native import ConditionBase, LockBase, Region
from ._references import RegionReference, forget_received
from .locks import Lock, RLock

__all__ = ["Condition"]

R = TypeVar("R")

_ALL = 2**32 - 1


class Condition(CellHandle, ConditionBase):
    """A condition with its lock, with the methods of `multiprocessing.Condition`.

    A notification reaches somebody alive: the dead are passed over, and what a process was told that dies before it has
    the lock again, another is told within a second. If the lock was taken from a process that died, `recovered` says so
    after `acquire` and `wait`. As with any condition, `wait` may in rare cases return without a notification (a
    death, more than 56 that wait): look at what you wait for again, or use `wait_for`.
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
        self._check_owned("wait")
        waiter = self._enter()
        depth = _give_up(self._lock)
        try:
            notified = self._sleep(waiter, timeout)
        except BaseException:
            _take_back(self._lock, depth)
            if self._leave(waiter):
                self._notify(1)  # what we were told is for somebody who acts on it
            raise
        try:
            _take_back(self._lock, depth)
        finally:
            notified = self._leave(waiter) or notified
        return notified

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
        self._check_owned("notify")
        if n > 0:
            self._notify(min(n, _ALL))

    def notify_all(self) -> None:
        """Let go on all that wait.

        Raises:
            AssertionError: the caller does not hold the lock.
        """
        self.notify(_ALL)

    def _check_owned(self, what: str) -> None:
        lock = self._lock
        owned = lock._is_mine() if isinstance(lock, LockBase) else lock._semlock._is_mine()  # pyright: ignore
        if not owned:
            raise AssertionError(f"lock is not owned: acquire the condition before {what}()")

    def __enter__(self) -> bool:
        return cast("bool", self._lock.__enter__())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.__exit__(kind, error, trace)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}({self._lock!r}, waiting={self._waiting})>"


def _give_up(lock: Any) -> int:
    if isinstance(lock, LockBase):
        return lock._give_up()  # pyright: ignore[reportPrivateUsage]
    depth: int = lock._semlock._count()
    for _ in range(depth):
        lock.release()
    return depth


def _take_back(lock: Any, depth: int) -> None:
    if isinstance(lock, LockBase):
        lock._take_back(depth)  # pyright: ignore[reportPrivateUsage]
        return
    for _ in range(depth):
        lock.acquire()
