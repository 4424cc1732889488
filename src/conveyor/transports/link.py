"""A connection that heals: what is lost is opened again, within the time of the call that noticed."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from time import monotonic
from typing import Any, Generic, TypeVar

from ..errors import BrokerUnreachable, NotSupported
from .port import Connection, ConnectionLost
from .url import Url, masked

__all__ = ["NEVER", "Healing", "Link", "deadline_after", "left_until", "pause"]

C = TypeVar("C", bound=Connection)

NEVER = float("inf")
_FIRST_PAUSE = 0.02
_LONGEST_PAUSE = 2.0
# An attempt to connect is given at least so long, also in a call that has no time left: or one that only ever asks
# without waiting would never be connected again.
_LEAST_ATTEMPT = 0.25


def deadline_after(timeout: float | None, block: bool = True) -> float:
    """When a call must return, by `time.monotonic`.

    Raises:
        TypeError, ValueError: `timeout` is no number.
    """
    if not block:
        return 0.0
    if timeout is None:
        return NEVER
    if timeout != timeout:
        raise ValueError(f"timeout is {timeout!r}; it must be a number of seconds, or None to wait for ever")
    if timeout <= 0:
        return 0.0
    return monotonic() + timeout


def left_until(deadline: float, most: float) -> float:
    """Seconds until then, 0 to `most`."""
    if deadline == 0.0:
        return 0.0
    if deadline == NEVER:
        return most
    return min(max(deadline - monotonic(), 0.0), most)


class Link(Generic[C]):
    """The connection of one handle, in one process.

    Attributes:
        backend: connected; None before the first use, and in a forked child.
        generation: of connections: it is raised when a new one stands.
    """

    def __init__(self, url: Url, make: Callable[[], C], declare: Callable[[C], None]) -> None:
        self._url = url
        self._make = make
        self._declare = declare
        self._lock = threading.Lock()
        self._spare: C | None = None
        self._closed = False
        self._refusal = ""
        self.backend: C | None = None
        self.generation = 0
        self._pause = _FIRST_PAUSE
        self._not_before = 0.0  # no attempt is made before, but for the last one of a call

    def open(self, deadline: float = NEVER) -> C:
        """The backend, connected now if it was not before.

        Raises:
            BrokerUnreachable: it could not be connected, within the URL's connect_timeout and the deadline.
        """
        backend = self.backend
        if backend is None:
            until = min(deadline, monotonic() + self._url.options["connect_timeout"])
            backend = self._seek(-1, until, None)
        return backend

    def heal(self, generation: int, error: BaseException, until: float) -> None:
        """Connect again after `error`, unless another thread has done so since `generation`.

        Raises:
            BrokerUnreachable: that could not be done until then.
        """
        self._seek(generation, until, error)

    def _seek(self, generation: int, until: float, lost: BaseException | None) -> C:
        """The backend, once there is a connection that is later than `generation`.

        The lock is held for each attempt, and not between two: threads that seek the same broker take turns, each until
        its own time is over, and the pauses between their attempts are the same for all.
        """
        began = monotonic()
        attempts = 0
        while True:
            with _held(self._lock, until, self._url):
                if self._closed:
                    raise ValueError(f"{self._url} is closed in this process")
                if self._refusal:
                    raise NotSupported(self._refusal)
                if self.backend is not None and self.generation != generation:
                    return self.backend
                backend = self._spare = self.backend or self._spare or self._make()
                now = monotonic()
                if now >= self._not_before or now >= until:
                    attempts += 1
                    if lost is not None:
                        backend.drop()
                    try:
                        return self._attempt(backend, until)
                    except ConnectionLost as error:
                        lost = error
                wait = self._not_before - monotonic()
            left = until - monotonic()
            if left <= 0:
                raise self.unreachable(attempts, began, backend, lost) from lost
            pause(min(max(wait, 0.001), left))  # and once more at the end

    def _attempt(self, backend: C, until: float) -> C:
        try:
            backend.open(max(until - monotonic(), _LEAST_ATTEMPT))
            self._declare(backend)
        except ConnectionLost:
            backend.drop()
            # With jitter, so that all who lost the same broker do not come back at the same moment.
            self._not_before = monotonic() + self._pause * random.uniform(0.5, 1.5)
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)
            raise
        except BaseException:
            backend.close()
            raise
        if self._closed:  # meanwhile: what was closed then was not connected yet
            backend.close()
            raise ValueError(f"{self._url} is closed in this process")
        self._pause, self._not_before = _FIRST_PAUSE, 0.0
        self.backend = backend
        self.generation += 1
        return backend

    def unreachable(
        self, attempts: int, began: float, backend: C, lost: BaseException | None
    ) -> BrokerUnreachable:
        """The error that says what was tried."""
        where = backend.address() or ", ".join(
            host if port is None else f"{host}:{port}" for host, port in self._url.hosts
        )
        return BrokerUnreachable(
            f"{self._url} cannot be reached: {attempts} attempt{'s' * (attempts > 1)} in "
            f"{monotonic() - began:.1f} s to connect to {where or self._url.scheme}; the last: {masked(str(lost))}"
        )

    def healing(self, deadline: float) -> Healing:
        """What a call that has lost its connection heals it by; see `Healing`."""
        return Healing(self, deadline, self._url.options["reconnect_timeout"])

    def close(self) -> None:
        """Disconnect. Idempotent."""
        self._closed = True
        backend, self.backend = self.backend or self._spare, None
        self._spare = None
        if backend is not None:
            backend.close()

    def refuse(self, why: str) -> None:
        """Connect no more: the next use raises NotSupported with that text."""
        self._refusal = why

    def abandon(self) -> None:
        """In a forked child: leave the parent's connection alone; the next use makes one of our own."""
        backend, self.backend, self._spare = self.backend, None, None
        self._lock = threading.Lock()
        self.generation += 1
        if backend is not None:
            backend.abandon()


class Healing:
    """The losses of one call: a connection that can be made and is lost again at once is not sought for ever.

    Args:
        link: the connection.
        deadline: of the call; `NEVER`: `patience` seconds from now.
    """

    def __init__(self, link: Link[Any], deadline: float, patience: float) -> None:
        self._link = link
        self._began = monotonic()
        self._until = self._began + patience if deadline == NEVER else deadline
        self._times = 0
        self._pause = _FIRST_PAUSE

    def after(self, generation: int, error: BaseException) -> None:
        """Connect again after `error`; see `Link.heal`.

        Raises:
            BrokerUnreachable: that could not be done within the time.
        """
        self._times += 1
        if self._times > 1:
            left = self._until - monotonic()
            backend = self._link.backend
            if left <= 0 and backend is not None:
                raise self._link.unreachable(self._times, self._began, backend, error) from error
            pause(min(self._pause * random.uniform(0.5, 1.5), max(left, 0.0)))
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)
        self._link.heal(generation, error, self._until)


class _held:  # noqa: N801  (a context manager that reads as a word)
    def __init__(self, lock: threading.Lock, deadline: float, url: Url) -> None:
        self._lock = lock
        self._deadline = deadline
        self._url = url

    def __enter__(self) -> None:
        left = -1.0 if self._deadline == NEVER else max(self._deadline - monotonic(), _LEAST_ATTEMPT)
        if not self._lock.acquire(timeout=left):
            raise BrokerUnreachable(
                f"{self._url} cannot be reached: another thread tries to connect, {left:.1f} s and more"
            )

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def pause(seconds: float) -> None:
    """Sleep, unless the handler of a signal raises."""
    threading.Event().wait(seconds)  # a wait that a signal's handler may end by raising
