"""What one thread waits for and another one gives."""

from __future__ import annotations

from _thread import allocate_lock
from collections.abc import Callable
from typing import Generic, TypeVar

from .port import ConnectionLost

__all__ = ["Answer"]

T = TypeVar("T")


class Answer(Generic[T]):
    """A value, or an exception, on its way from a thread to another: the leanest hand-over that there is.

    The side that gives it claims it first: from then on the value reaches the other side, whatever happens there. The
    side that waits claims it to give it up: then it is never given.
    """

    __slots__ = ("_claims", "_error", "_given", "_here", "_value")

    def __init__(self) -> None:
        self._given = allocate_lock()
        self._given.acquire()
        self._claims: list[None] = [None]  # popping one is atomic
        self._value: T
        self._error: BaseException | None = None
        self._here = False

    def claim(self) -> bool:
        """Whether it is still wanted, and nobody else gives it. Who gets True must call `give` or `fail`."""
        try:
            self._claims.pop()
        except IndexError:
            return False
        return True

    def give(self, value: T) -> None:
        """Hand over the value."""
        self._value = value
        self._here = True
        self._given.release()

    def fail(self, error: BaseException) -> None:
        """Have the other side raise it."""
        self._error = error
        self._here = True
        self._given.release()

    def wait(self, timeout: float, undo: Callable[[T], object] | None = None) -> T:
        """What was given.

        Args:
            timeout: seconds.
            undo: called with a value that was given while this wait was ended by the handler of a signal.

        Raises:
            ConnectionLost: nothing was given in time, and nothing will be.
        """
        try:
            while not self._here:
                if self._given.acquire(timeout=timeout):
                    continue
                if self.claim():
                    raise ConnectionLost(f"no answer for {timeout:.1f} s")
                timeout = 1.0  # it is being given, at the last moment
        except ConnectionLost:
            raise
        except BaseException:
            if not self.claim():
                while not self._here:
                    self._given.acquire(timeout=0.01)
                if self._error is None and undo is not None:
                    undo(self._value)
            raise
        if self._error is not None:
            raise self._error
        return self._value
