"""The thread that waits for a subscription's events, for coroutines."""

# pyright: reportPrivateUsage=false
# A subscription and its thread are one thing in two files.
from __future__ import annotations

import asyncio
import weakref
from time import monotonic
from typing import Any, Protocol

from ..errors import Empty
from .courier import SLICE_SECONDS, Courier, Request, copied, late_ones

__all__ = ["Reader"]


class _Subscription(Protocol):
    """What the thread asks of its subscription; see `BrokerSubscription`."""

    def _read_ahead(self, deadline: float, come_by: float) -> None: ...


class Reader(Courier[Any]):
    """Waits until an event was read ahead. It takes none, so a coroutine that is cancelled has received nothing."""

    name = "conveyor-reads"

    def __init__(self, topic: Any, subscription: _Subscription) -> None:
        super().__init__(topic)
        self._subscription = weakref.ref(subscription)
        self._waiting: list[Request] = []

    async def wait(self, deadline: float) -> None:
        """Wait until there is an event.

        Raises:
            queue.Empty: none came until the deadline. And what `get` raises.
        """
        request = Request(deadline)
        with self._changed:
            self._waiting.append(request)
            self._notify()
        try:
            await request.future
        except asyncio.CancelledError:
            with self._changed:
                if request in self._waiting:
                    self._waiting.remove(request)
            raise

    def _has_work(self) -> bool:
        return bool(self._waiting)

    def _work(self, queue: Any) -> None:
        subscription = self._subscription()
        if subscription is None:
            raise ValueError("the subscription is gone")
        now = monotonic()
        with self._changed:
            least = min(request.deadline for request in self._waiting)
        try:
            subscription._read_ahead(least if least > now else 0.0, now + SLICE_SECONDS)
        except Empty:
            self._tell_the_late()
            return
        # All of them: each looks, and those who find nothing come again.
        with self._changed:
            waiting, self._waiting = self._waiting, []
        for request in waiting:
            request.answer(None)

    def _tell_the_late(self) -> None:
        now = monotonic()
        with self._changed:
            for request in [request for request in self._waiting if request.deadline <= now]:
                self._waiting.remove(request)
                request.fail(Empty())

    def _give_up(self, error: BaseException) -> None:
        with self._changed:
            late = late_ones(self._waiting, error)
        for request in late:
            request.fail(copied(error, "events_received", []))
