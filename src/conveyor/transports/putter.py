"""The thread that puts and publishes for coroutines, and settles what they took."""

# pyright: reportPrivateUsage=false
# A queue and its threads are one thing in several files.
from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any

from ..errors import Full
from .courier import MOST_AT_ONCE, SLICE_SECONDS, Courier, Request, copied
from .link import NEVER
from .port import Delivery, Message

if TYPE_CHECKING:
    from .sending import Sending

__all__ = ["Putter"]


class _Put(Request):
    __slots__ = ("messages", "put")

    def __init__(self, messages: list[Message], deadline: float) -> None:
        super().__init__(deadline)
        self.messages = messages
        self.put = 0


class Putter(Courier["Sending[Any]"]):
    """Puts what coroutines put, many of them at a time, and settles what they took."""

    name = "conveyor-puts"

    def __init__(self, queue: Any) -> None:
        super().__init__(queue)
        self._puts: deque[_Put] = deque()
        self._calls: deque[tuple[Callable[[], Any], Request]] = deque()
        self._done: list[Delivery] = []
        self._under_way: list[_Put] = []

    async def put(self, messages: list[Message], deadline: float) -> None:
        """Wait until they are put."""
        request = _Put(messages, deadline)
        with self._changed:
            self._puts.append(request)
            self._notify()
        cancelled = False
        while True:
            try:
                # The thread answers at the deadline; whether it was put is known only then.
                return await asyncio.shield(request.future)
            except asyncio.CancelledError:
                if request.future.cancelled():
                    raise
                with self._changed:
                    if not request.started:
                        self._puts.remove(request)
                        raise
                    request.deadline = 0.0  # it is being tried: at most for another slice
                if cancelled:
                    raise
                cancelled = True
                done = await _outcome(request.future)
                if done is not None:
                    raise
                _cancel_again()
                return None

    async def run(self, call: Callable[[], Any]) -> Any:
        """What `call` returns, called in the thread; it is called also when this is cancelled."""
        request = Request(NEVER)
        with self._changed:
            self._calls.append((call, request))
            self._notify()
        return await asyncio.shield(request.future)

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """Acknowledge them soon."""
        with self._changed:
            self._done += deliveries
            self._notify()

    def _has_work(self) -> bool:
        return bool(self._puts or self._calls or self._done)

    def _work(self, queue: Sending[Any]) -> None:
        with self._changed:
            done, self._done = self._done, []
            calls = list(self._calls)
            self._calls.clear()
        if done:
            queue._settle_taken(done)
        for call, request in calls:
            try:
                request.answer(call())
            except BaseException as error:
                request.fail(error)
        self._put_some(queue)

    def _put_some(self, queue: Sending[Any]) -> None:
        now = monotonic()
        batch: list[Message] = []
        least = NEVER
        with self._changed:
            for request in self._puts:
                request.started = True
                batch += request.messages[request.put :]
                least = min(least, request.deadline)
                if len(batch) >= MOST_AT_ONCE:
                    break
        if not batch:
            return
        # Others wait behind them, and calls, and what must be acknowledged.
        until = min(now + SLICE_SECONDS, least)
        error: BaseException | None = None
        try:
            queue._send(batch, until if until > now else 0.0)
            put = len(batch)
        except Exception as raised:
            put = getattr(raised, queue._counted, 0)
            error = raised
        self._account(put, error, queue._counted)

    def _account(self, put: int, error: BaseException | None, counted: str) -> None:
        """Tell those whose messages are in, and those who cannot wait any more."""
        now = monotonic()
        with self._changed:
            while put and self._puts:
                first = self._puts[0]
                some = min(put, len(first.messages) - first.put)
                first.put += some
                put -= some
                if first.put < len(first.messages):
                    break
                self._puts.popleft()
                first.answer(None)
            if error is None:
                return
            if isinstance(error, Full):
                failed = [request for request in self._puts if request.deadline <= now]
            elif len(self._puts) > 1 and not self._puts[0].put and isinstance(error, ValueError):
                failed = [self._puts[0]]  # perhaps it is about one item: each by itself from now on
            else:
                failed = [request for request in self._puts if request.started]
            for request in failed:
                self._puts.remove(request)
                request.fail(copied(error, counted, request.put))
            for request in self._puts:
                request.started = False

    def _give_up(self, error: BaseException) -> None:
        self._account(0, error, "items_put")


async def _outcome(future: asyncio.Future[Any]) -> BaseException | None:
    """How it came out; nothing else stops this wait."""
    while not future.done():
        try:
            await asyncio.shield(future)
        except asyncio.CancelledError:
            continue
        except Exception:
            break
    return future.exception()


def _cancel_again() -> None:
    """Cancel this task where it waits next: it was cancelled too late for what it did, and is to hear of it.

    Unless whoever cancelled it, a timeout that is over by then, takes that back.
    """
    task = asyncio.current_task()
    if task is None:
        return

    def cancel() -> None:
        if not task.done() and task.cancelling():
            task.uncancel()
            task.cancel()

    asyncio.get_running_loop().call_soon(cancel)
