"""The thread that settles what coroutines took."""

# pyright: reportPrivateUsage=false
# A queue and its threads are one thing in several files.
from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any

from ..errors import BrokerUnreachable
from .courier import Courier, Request
from .link import NEVER
from .port import Delivery

if TYPE_CHECKING:
    from .settling import Settling

__all__ = ["Finisher"]

# For so long the broker is sought at a time, while nobody waits for it.
_ATTEMPT_SECONDS = 1.0


class Finisher(Courier["Settling"]):
    """Calls what settles leases, and acknowledges what `aget` took."""

    name = "conveyor-settles"

    def __init__(self, queue: Settling) -> None:
        super().__init__(queue)
        self._calls: deque[tuple[Callable[[], Any], Request | None]] = deque()
        self._done: list[Delivery] = []

    async def run(self, call: Callable[[], Any]) -> Any:
        """What `call` returns, called in the thread; it is called also when this is cancelled."""
        request = Request(NEVER)
        with self._changed:
            self._calls.append((call, request))
            self._notify()
        return await asyncio.shield(request.future)

    def call_soon(self, call: Callable[[], Any]) -> None:
        """Have it called; nobody waits for what it returns."""
        with self._changed:
            self._calls.append((call, None))
            self._notify()

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """Acknowledge them soon, together with others."""
        with self._changed:
            self._done += deliveries
            self._notify()

    def _has_work(self) -> bool:
        return bool(self._calls or self._done)

    def _work(self, queue: Settling) -> None:
        with self._changed:
            done, self._done = self._done, []
            calls = list(self._calls)
            self._calls.clear()
        for call, request in calls:
            try:
                result = call()
            except BaseException as error:
                if request is not None:
                    request.fail(error)
            else:
                if request is not None:
                    request.answer(result)
        if done:
            try:
                queue._settle_taken(done, monotonic() + _ATTEMPT_SECONDS)
            except BrokerUnreachable:
                with self._changed:
                    self._done = done + self._done

    def _give_up(self, error: BaseException) -> None:
        pass  # the caller that waits has got the error
