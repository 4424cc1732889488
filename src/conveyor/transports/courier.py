"""A thread that carries out what coroutines ask of a queue on a broker."""

# pyright: reportPrivateUsage=false
# A queue and its threads are one thing in several files.
from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Any, Generic, TypeVar

from ..errors import BrokerUnreachable

__all__ = ["MOST_AT_ONCE", "SLICE_SECONDS", "Courier", "Request", "copied", "late_ones"]

# A thread that has nothing to do ends after so long, and so often looks whether its queue is still there.
_IDLE_SECONDS = 5.0
# How long the broker may be asked to wait at a time: so late is it noticed that a coroutine waits no more.
SLICE_SECONDS = 0.1
MOST_AT_ONCE = 1000


class Request:
    """What one coroutine waits for."""

    __slots__ = ("deadline", "future", "loop", "most", "seconds", "started")

    def __init__(self, deadline: float, most: int = 0, seconds: float | None = None) -> None:
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Any] = self.loop.create_future()
        self.deadline = deadline
        self.most = most
        self.seconds = seconds
        self.started = False

    def answer(self, value: Any) -> None:
        """Have the coroutine go on; from any thread."""
        self._later(_resolve, value)

    def fail(self, error: BaseException) -> None:
        """Have the coroutine raise it; from any thread."""
        self._later(_reject, error)

    def _later(self, call: Callable[..., None], value: Any) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits in it
            self.loop.call_soon_threadsafe(call, self.future, value)


def _resolve(future: asyncio.Future[Any], value: Any) -> None:
    if not future.done():
        future.set_result(value)


def _reject(future: asyncio.Future[Any], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)


H = TypeVar("H")


class Courier(Generic[H]):
    """A daemon thread that is started when there is something to do, and keeps no queue alive."""

    name = ""

    def __init__(self, queue: Any) -> None:
        self._queue: weakref.ref[H] = weakref.ref(queue)
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._stopped = False

    def _has_work(self) -> bool:
        raise NotImplementedError

    def _work(self, queue: H) -> None:
        raise NotImplementedError

    def _give_up(self, error: BaseException) -> None:
        raise NotImplementedError

    def _notify(self) -> None:
        # With the condition held.
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
            self._thread.start()
        else:
            self._changed.notify()

    def stop(self) -> None:
        """Finish what was asked for, and end."""
        with self._changed:
            self._stopped = True
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._has_work():
                    self._changed.wait(0 if self._stopped else _IDLE_SECONDS)
                    if not self._has_work():
                        self._thread = None
                        return
            queue = self._queue()
            if queue is None:
                with self._changed:
                    self._thread = None
                return
            try:
                self._work(queue)
            except BaseException as error:
                self._give_up(error)
            del queue


def late_ones(waiting: list[Request], error: BaseException) -> list[Request]:
    """Those to whom an error is to be told; they are taken off the list. With the condition held."""
    now = monotonic()
    late = [request for request in waiting if request.deadline <= now]
    if not (isinstance(error, BrokerUnreachable) and late):  # else the others have time for another attempt
        late = list(waiting)
    for request in late:
        waiting.remove(request)
    return late


def copied(error: BaseException, counted: str, value: Any) -> BaseException:
    """An exception for each who gets it: one that is raised in two places has the tracebacks of both."""
    try:
        fresh = type(error)(*error.args)
    except Exception:
        return error
    fresh.__cause__ = error.__cause__
    fresh.__dict__.update(error.__dict__)
    setattr(fresh, counted, value)
    return fresh
