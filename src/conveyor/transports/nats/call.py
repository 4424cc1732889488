"""A question that a thread waits for."""

from __future__ import annotations

import threading

from ..port import ConnectionLost

__all__ = ["Call"]


class Call:
    """Has the methods of a future that the connection uses, and wakes a thread without a loop's way around."""

    __slots__ = ("_answer", "_done", "_error", "_lock")

    def __init__(self) -> None:
        self._answer = b""
        self._error: Exception | None = None
        self._done = False
        self._lock = threading.Lock()
        self._lock.acquire()

    def done(self) -> bool:
        """Whether it has come to an end."""
        return self._done

    def set_result(self, answer: bytes) -> None:
        """It is answered."""
        self._answer = answer
        self._done = True
        self._lock.release()

    def set_exception(self, error: Exception) -> None:
        """It has failed."""
        self._error = error
        self._done = True
        self._lock.release()

    def exception(self) -> Exception | None:
        """Why it has failed."""
        return self._error

    def wait(self, seconds: float) -> bytes:
        """The answer.

        Raises:
            ConnectionLost: there was none in time. And what it has failed with.
        """
        if not self._lock.acquire(timeout=seconds):
            raise ConnectionLost(f"no answer for {seconds:.1f} s")
        if self._error is not None:
            raise self._error
        return self._answer
