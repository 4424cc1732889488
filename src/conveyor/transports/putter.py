"""The thread that puts and publishes for coroutines."""

# pyright: reportPrivateUsage=false
# A queue and its threads are one thing in several files.
from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from time import monotonic
from typing import Any, Protocol

from ..errors import BrokerUnreachable, Full
from .courier import MOST_AT_ONCE, SLICE_SECONDS, Courier, Request, copied
from .link import NEVER
from .port import Message

__all__ = ["Putter"]


class _Sender(Protocol):
    """What the thread asks of the queue or topic that it puts into; see `Sending`."""

    _counted: str

    def _send(self, messages: Sequence[Message], deadline: float, room_by: float) -> None: ...


class _Put(Request):
    __slots__ = ("messages", "put")

    def __init__(self, messages: list[Message], deadline: float) -> None:
        super().__init__(deadline)
        self.messages = messages
        self.put = 0


class Putter(Courier[_Sender]):
    """Puts what coroutines put, many of them at a time."""

    name = "conveyor-puts"

    def __init__(self, queue: Any) -> None:
        super().__init__(queue)
        self._puts: deque[_Put] = deque()

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

    def _has_work(self) -> bool:
        return bool(self._puts)

    def _work(self, queue: _Sender) -> None:
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
        error: BaseException | None = None
        try:
            queue._send(batch, least if least > now else 0.0, now + SLICE_SECONDS)
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
            late = [request for request in self._puts if request.deadline <= now]
            if isinstance(error, Full):
                failed = late
            elif isinstance(error, BrokerUnreachable) and late:
                failed = late  # the others have time for another attempt
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

    Unless what cancelled it, a timeout that is over by then, takes that back.
    """
    task = asyncio.current_task()
    if task is None:
        return

    def cancel() -> None:
        if not task.done() and task.cancelling():
            task.uncancel()
            task.cancel()

    asyncio.get_running_loop().call_soon(cancel)
