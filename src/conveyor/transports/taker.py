"""The thread that takes items for coroutines."""

# pyright: reportPrivateUsage=false
# A queue and its threads are one thing in several files.
from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Any, Protocol, TypeVar

from ..errors import Empty
from .courier import MOST_AT_ONCE, SLICE_SECONDS, Courier, Request, copied, late_ones
from .finisher import Finisher
from .keeper import Keeper
from .link import NEVER
from .port import Backend, Delivery

__all__ = ["Taker"]


R = TypeVar("R")


class _Source(Protocol):
    """What the thread asks of the queue that it takes from; see `BrokerQueue`."""

    _open: dict[int, tuple[Delivery, float]]

    def _fetch(
        self, most: int, deadline: float, seconds: float | None, for_good: bool, come_by: float = NEVER
    ) -> list[Delivery]: ...
    def _kept(self) -> Keeper: ...
    def _finish(self) -> Finisher: ...
    def _call(self, do: Callable[[Backend], R], deadline: float = NEVER) -> R: ...


class Taker(Courier[_Source]):
    """Takes items for coroutines, under lease."""

    name = "conveyor-takes"

    def __init__(self, queue: Any) -> None:
        super().__init__(queue)
        self._waiting: list[Request] = []

    async def take(self, most: int, deadline: float, seconds: float | None) -> list[Delivery]:
        """Wait for items; they are this process's under lease then."""
        request = Request(deadline, most, seconds)
        with self._changed:
            self._waiting.append(request)
            self._notify()
        try:
            deliveries: list[Delivery] = await request.future
        except asyncio.CancelledError:
            with self._changed:
                if request in self._waiting:
                    self._waiting.remove(request)
            if request.future.done() and not request.future.cancelled() and not request.future.exception():
                self._return(request.future.result())
            raise
        return deliveries

    def _return(self, deliveries: list[Delivery]) -> None:
        queue = self._queue()
        if queue is not None and deliveries:
            queue._finish().call_soon(lambda: _give_back(queue, deliveries))

    def _has_work(self) -> bool:
        return bool(self._waiting)

    def _work(self, queue: _Source) -> None:
        now = monotonic()
        with self._changed:
            first = self._waiting[0]
            # Those who want the same as the first: one question to the broker for all.
            same = [request for request in self._waiting if request.seconds == first.seconds]
        most = min(sum(request.most for request in same), MOST_AT_ONCE)
        if len(same) > 1:
            most = min(most, len(same))  # each gets at least a chance
        least = min(request.deadline for request in same)
        try:
            found = queue._fetch(
                most, least if least > now else 0.0, first.seconds, False, now + SLICE_SECONDS
            )
        except Empty:
            found = []
        for delivery in found:
            queue._open[id(delivery)] = (delivery, NEVER)
        if found:
            queue._kept().leased(NEVER)
        self._hand_out(found)
        now = monotonic()
        with self._changed:
            late = [request for request in self._waiting if request.deadline <= now]
            for request in late:
                self._waiting.remove(request)
                request.fail(Empty())

    def _hand_out(self, found: list[Delivery]) -> None:
        with self._changed:
            while found and self._waiting:
                request = self._waiting.pop(0)
                some, found = found[: request.most], found[request.most :]
                try:
                    request.loop.call_soon_threadsafe(self._hand, request, some)
                except RuntimeError:  # that loop is closed
                    found = some + found
        self._return(found)

    def _hand(self, request: Request, deliveries: list[Delivery]) -> None:
        if request.future.done():  # cancelled meanwhile
            self._return(deliveries)
        else:
            request.future.set_result(deliveries)

    def _give_up(self, error: BaseException) -> None:
        with self._changed:
            late = late_ones(self._waiting, error)
        for request in late:
            request.fail(copied(error, "items_received", []))


def _give_back(queue: _Source, deliveries: list[Delivery]) -> None:
    for delivery in deliveries:
        queue._open.pop(id(delivery), None)
    queue._call(lambda backend: backend.release(deliveries, 0.0, False, ""))
