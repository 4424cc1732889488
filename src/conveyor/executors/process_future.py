"""ProcessFuture: the outcome of one call, which can be cancelled while it is running."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, InvalidStateError
from concurrent.futures._base import CANCELLED, CANCELLED_AND_NOTIFIED, FINISHED, LOGGER, PENDING, RUNNING
from time import monotonic
from typing import Any, TypeVar

from .task_options import TaskOptions

__all__ = ["ProcessFuture"]

T = TypeVar("T")
_DONE = frozenset((CANCELLED, CANCELLED_AND_NOTIFIED, FINISHED))


class _Latch:
    """One thread that waits for one future; stands among those whom the standard library tells of its end."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def add_result(self, future: Any = None) -> None:
        """Let it go on."""
        with contextlib.suppress(RuntimeError):  # it was told already
            self._lock.release()

    add_exception = add_cancelled = add_result

    def wait(self, until: float | None) -> bool:
        """Wait; returns whether it was told."""
        if until is None:
            return self._lock.acquire()
        return self._lock.acquire(timeout=min(max(until - monotonic(), 0.0), threading.TIMEOUT_MAX))


class ProcessFuture(Future[T]):
    """A future of `ProcessPoolExecutor`.

    All futures of an executor share one lock, in the place of a condition for each: so many of them are settled at a
    time. `cancel()` of a call that is running ends its worker, which is replaced.

    Args:
        lock: the executor's.
        stop: called with a running future that was cancelled.
        message: what a worker is sent.
        options: how the call is made.
    """

    # Of a new one. It has a waiter or a callback of its own only when somebody waits, or calls.
    _state = PENDING
    _result: Any = None
    _exception: BaseException | None = None
    _done_callbacks: Any = ()

    def __init__(
        self,
        lock: Any,
        stop: Callable[[Any], None],
        message: list[Any],
        options: TaskOptions,
    ) -> None:
        # Not the base's, which makes a condition: that would take longer than all else that is done for a call.
        self._condition: Any = lock
        self._waiters: list[Any] = []
        self._stop = stop
        self._message: list[Any] | None = message
        self.options = options
        """How the call is made."""

    # -- for the engine --------------------------------------------------------------------------------------

    @staticmethod
    def begin_some(tasks: deque[Any], most: int, messages: list[Any], origins: list[Any]) -> int:
        """Take futures from the front; those that were not cancelled run from now on. The caller has the lock.

        Args:
            tasks: where they are taken from, up to something else.
            most: how many are to run at most.
            messages, origins: get what their workers are sent, and the futures.

        Returns:
            How many were taken.
        """
        taken = 0
        while tasks and most and type(tasks[0]) is ProcessFuture:
            future: Any = tasks.popleft()
            taken += 1
            if future._state is PENDING:
                future._state = RUNNING
                messages.append(future._message)
                origins.append(future)
                most -= 1
        return taken

    @property
    def wanted(self) -> bool:
        """See `Task`."""
        return self._state == RUNNING

    def fail(self, error: BaseException) -> None:
        """See `Task`."""
        self._settle([self], [None], error)

    @classmethod
    def settle(cls, futures: list[Any], results: list[Any]) -> None:
        """Give futures of one executor their results; those that are done stay as they are."""
        cls._settle(futures, results, None)

    @staticmethod
    def _settle(futures: list[Any], results: list[Any], error: BaseException | None) -> None:
        called: list[Any] = []
        with futures[0]._condition:
            for future, result in zip(futures, results, strict=True):
                if future._state in _DONE:
                    continue
                future._result = result
                future._exception = error
                future._message = None
                future._state = FINISHED
                if future._waiters:
                    for waiter in future._waiters:
                        (waiter.add_result if error is None else waiter.add_exception)(future)
                if future._done_callbacks:
                    called.append(future)
        for future in called:
            for callback in future._done_callbacks:
                try:
                    callback(future)
                except (
                    BaseException
                ):  # SystemExit, too: it would end the engine, and every other call with it
                    LOGGER.exception("exception calling callback for %r", future)

    # -- as a future -----------------------------------------------------------------------------------------

    def cancel(self) -> bool:
        """Cancel the call, if it is not done; if it is running, its worker is killed, and replaced.

        Returns:
            Whether it is cancelled: False if it was done before.
        """
        with self._condition:
            if self._state in (CANCELLED, CANCELLED_AND_NOTIFIED):
                return True
            if self._state == FINISHED:
                return False
            runs = self._state == RUNNING
            self._state = CANCELLED_AND_NOTIFIED
            self._message = None
            for waiter in self._waiters:
                waiter.add_cancelled(self)
        self._invoke_callbacks()  # type: ignore[attr-defined]
        if runs:
            self._stop(self)
        return True

    def add_done_callback(self, fn: Callable[[Future[T]], object]) -> None:
        """Have a function called with the future when it is done, in the executor's thread; now, if it is.

        Args:
            fn: what it raises is logged, and nothing else.
        """
        with self._condition:
            if self._state not in _DONE and not self._done_callbacks:
                self._done_callbacks = []
        super().add_done_callback(fn)

    def _await(self, timeout: float | None) -> None:
        with self._condition:
            if self._state in _DONE:
                return
            latch = _Latch()
            self._waiters.append(latch)
        try:
            if (
                not latch.wait(None if timeout is None else monotonic() + timeout)
                and self._state not in _DONE
            ):
                raise TimeoutError
        finally:
            with self._condition:
                self._waiters.remove(latch)

    def result(self, timeout: float | None = None) -> T:
        """What the call returned.

        Args:
            timeout: seconds to wait for it; None: as long as it takes.

        Raises:
            CancelledError: it was cancelled.
            TimeoutError: it is not done by then; or `ItemTimeout`: it took longer than it may.
            BaseException: what the call raised; `WorkerLost` if its process died.
        """
        try:
            self._await(timeout)
            if self._state != FINISHED:
                raise CancelledError
            if self._exception is not None:
                raise self._exception
            return self._result  # type: ignore[no-any-return]
        finally:
            del self  # the exception's traceback names this frame

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """What the call raised; None: it returned.

        Args:
            timeout: seconds to wait for it; None: as long as it takes.

        Raises:
            CancelledError: it was cancelled.
            TimeoutError: it is not done by then.
        """
        self._await(timeout)
        if self._state != FINISHED:
            raise CancelledError
        return self._exception

    def set_running_or_notify_cancel(self) -> bool:
        """Executors call it: the call begins, unless it was cancelled.

        Returns:
            Whether it is to be made.

        Raises:
            RuntimeError: it has begun before.
        """
        with self._condition:
            if self._state == CANCELLED_AND_NOTIFIED:
                return False
            if self._state != PENDING:
                raise RuntimeError("Future in unexpected state")
            self._state = RUNNING
            return True

    def set_result(self, result: T) -> None:
        """Executors call it: what the call returned.

        Raises:
            InvalidStateError: it is done.
        """
        self._check_open()
        self._settle([self], [result], None)

    def set_exception(self, exception: BaseException | None) -> None:
        """Executors call it: what the call raised.

        Raises:
            InvalidStateError: it is done.
        """
        self._check_open()
        self._settle([self], [None], exception)

    def _check_open(self) -> None:
        if self._state in _DONE:
            raise InvalidStateError(f"{self._state}: {self!r}")
