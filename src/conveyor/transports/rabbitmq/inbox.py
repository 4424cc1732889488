"""What a process takes for good from a queue on RabbitMQ, some of it before it is asked for."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from time import monotonic
from typing import Any, TypeVar

from ..ahead import REST_SECONDS, Ahead
from ..answer import Answer
from ..port import ConnectionLost
from .channel import Channel, Got
from .wire import Wire

__all__ = ["Inbox", "gather"]

T = TypeVar("T")

_MOST_TAKEN = 1000
# A wait that is so short may be over before a consumer that has just begun gets anything.
_SHORT_WAIT = 0.1
# While others put and take, what is counted may never be the same twice: one count is as good as another then.
_MOST_LOOKS = 5


async def gather(channel: Channel, queue: str, most: int, found: list[Got], wait: float = 0.0) -> None:
    """Add to `found` what the queue has, until there are `most`; all of it if there are fewer.

    Args:
        wait: seconds to wait for the first, if there is none.
    """
    room = min(most, len(found) + _MOST_TAKEN) - len(found)
    if room <= 0:
        return
    if room == 1 and wait <= 0:
        last = await channel.get(queue)
        if last is not None:
            found.append(last)
        return
    came = asyncio.Event()

    def on_message(got: Got) -> None:
        found.append(got)
        came.set()

    full = False
    consumer = await channel.consume(queue, room, on_message)
    try:
        if wait > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(came.wait(), wait)
        if room == 1:
            full = came.is_set()
        elif wait <= 0 or came.is_set():
            full = await channel.catch_up(queue, consumer, room)
    finally:
        if full:
            channel.cancel_soon(consumer)
        else:
            await channel.cancel(consumer)


class Inbox:
    """The taking side of one connection. All methods but `take_ready` are for the loop's thread.

    Who takes as fast as it can (`Ahead`) has a consumer at the server, which sends what comes next without being
    asked. What lies here when it stops goes back, in order, within `REST_SECONDS`. Everything is acknowledged when it
    is handed out, and the acknowledgement is with the system before it is.

    Args:
        wire: the connection.
        queue: the name at the server.
    """

    def __init__(self, wire: Wire, queue: str) -> None:
        self._wire = wire
        self._queue = queue
        self._ahead = Ahead()
        self._channel: Channel | None = None
        self._came: deque[Got] = deque()
        self._settled: deque[Got] = deque()  # handed out once, and not arrived
        self._consumer = ""
        self._size = 0  # the consumer's
        self._slow = 0  # takes that are not served at once
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._lock = asyncio.Lock()  # held by who starts or ends consumers
        self._handing = threading.Lock()  # held for a moment by who hands out, or gives back
        self._asked = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._came)

    @property
    def consumes(self) -> bool:
        """Whether a consumer stands at the server, between two calls."""
        return bool(self._consumer)

    # -- taking

    def take_ready(self, most: int) -> list[Got] | None:
        """What lies ready, `most`, acknowledged; None: it must be asked for by `take`. For any thread.

        Without the loop's thread, which reads meanwhile what else has come. A caller that is interrupted by the handler
        of a signal has taken nothing: what was acknowledged is the next to be taken.
        """
        came = self._came
        if self._slow or len(came) < most or self._lock.locked():
            return None
        some: list[Got] = []
        done: list[object] = []
        try:
            with self._handing:
                channel = self._channel
                if self._slow or self._settled or len(came) < most or self._lock.locked() or channel is None:
                    return None
                now = self._asked = monotonic()
                if self._ahead.asked(most, now) > self._size:
                    return None
                # By place, as the loop's thread may add to it meanwhile, which an iterator does not bear.
                some += [came[place] for place in range(most)]
                if not channel.acknowledge_with([got.tag for got in some], [came.popleft] * most, done):
                    return None
                self._ahead.took(most, now)
        except BaseException:
            if done:
                self.put_back(some)
            raise
        return some

    def take(self, most: int, wait: float, answer: Answer[list[Got]]) -> None:
        """Answer with what there is, at most `most`, acknowledged; wait so many seconds for the first."""
        now = self._asked = monotonic()
        with self._handing:
            size = self._ahead.asked(most, now)
        came = self._came
        channel = self._channel
        ready = len(came) >= most and not self._slow and size <= self._size
        if self._settled and answer.claim():
            some = min(most, len(self._settled))
            answer.give([self._settled.popleft() for _ in range(some)])
        elif ready and channel is not None and channel.closed is None:
            self._hand(self._pop(most), answer)
        else:
            self._start(self._take(most, wait, size, answer))

    def put_back(self, found: list[Got]) -> None:
        """These were handed out and acknowledged, and did not arrive: the next to be taken."""
        self._settled.extendleft(reversed(found))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _take(self, most: int, wait: float, size: int, answer: Answer[list[Got]]) -> None:
        self._slow += 1
        try:
            found = await self._find(most, wait, size)
        except asyncio.CancelledError:
            if answer.claim():
                answer.fail(ConnectionLost("the connection was closed"))
            raise
        except Exception as error:
            if answer.claim():
                answer.fail(error)
        else:
            self._hand(found, answer)
        finally:
            self._slow -= 1
            self._asked = monotonic()

    def _hand(self, found: list[Got], answer: Answer[list[Got]]) -> None:
        if not answer.claim():
            self._came.extendleft(reversed(found))
            self._look_later()
            return
        try:
            with self._handing:
                if found:
                    self._acknowledge(found)
                self._ahead.took(len(found), monotonic())
        except Exception as error:
            answer.fail(error)
            return
        self._look_later()
        answer.give(
            found
        )  # the last thing: the thread that waits for it wants this one's lock of the interpreter

    def _acknowledge(self, found: list[Got]) -> None:
        channel = self._channel
        if channel is None:
            raise ConnectionLost("the channel is closed")
        channel.settle([got.tag for got in found], True)

    # -- finding

    async def _open(self) -> Channel:
        channel = await self._wire.kept("take")
        if channel is not self._channel:
            # What came by another one went back with it.
            self._channel = channel
            self._came.clear()
            self._consumer, self._size = "", 0
        return channel

    def _pop(self, most: int) -> list[Got]:
        with self._handing:
            return [self._came.popleft() for _ in range(min(most, len(self._came)))]

    async def _find(self, most: int, wait: float, size: int) -> list[Got]:
        until = monotonic() + wait
        async with self._lock:
            channel = await self._open()
            if size:
                if size != self._size:
                    await self._resize(channel, size)
                if len(self._came) < most:
                    if wait <= 0:
                        await self._look_again(channel)
                    elif self._came:
                        await channel.flush()
                found = self._pop(most)
            else:
                found = self._pop(most) or await self._ask(channel, most)
        if found or wait <= 0:
            return found
        found = await (self._wait_ahead(most, until) if self._consumer else self._wait(most, until))
        if not found and wait < _SHORT_WAIT:
            async with self._lock:
                await self._look_again(channel)
            found = self._pop(most)
        return found

    async def _ask(self, channel: Channel, most: int) -> list[Got]:
        """What there is now, at most `most`."""
        found: list[Got] = []
        got = await channel.get(self._queue)
        if got is not None:
            found.append(got)
            if most > 1:
                await gather(channel, self._queue, most, found)
        return found

    async def _look_again(self, channel: Channel) -> None:
        """Have here what is there now, as far as the consumer may have it."""
        if self._consumer:
            await channel.catch_up(self._queue, self._consumer, self._size)
        else:
            got = await channel.get(self._queue)
            if got is not None:
                self._came.append(got)

    async def _wait(self, most: int, until: float) -> list[Got]:
        """Wait with a consumer that gets no more than is wanted now."""
        began = monotonic()
        found: list[Got] = []
        async with self._lock:
            channel = await self._open()
        await gather(channel, self._queue, most, found, max(until - began, 0.001))
        if monotonic() - began > REST_SECONDS:
            self._ahead.rest()
        return found

    async def _wait_ahead(self, most: int, until: float) -> list[Got]:
        """Wait for what the consumer is sent; for long, with one that gets no more than is wanted."""
        rest = monotonic() + REST_SECONDS
        while not self._came:
            left = min(until, rest) - monotonic()
            if left <= 0:
                if until <= rest:
                    return []
                async with self._lock:
                    await self._let_go()
                if not self._came:
                    return await self._wait(most, until)
                break
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(waiter, left)
        return self._pop(most)

    # -- the consumer

    def _on_message(self, got: Got) -> None:
        self._came.append(got)
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                break

    async def _resize(self, channel: Channel, size: int) -> None:
        await self._cancel()
        self._size = size
        self._consumer = await channel.consume(self._queue, size, self._on_message)

    async def _let_go(self) -> None:
        """Have no consumer; with the lock."""
        self._ahead.rest()
        await self._cancel()

    async def _cancel(self) -> None:
        channel = self._channel
        if self._consumer and channel is not None and channel.closed is None:
            await channel.catch_up(self._queue, self._consumer, self._size)
            await channel.cancel(self._consumer)
        self._consumer, self._size = "", 0

    def _look_later(self) -> None:
        if self._timer is None and (self._came or self._consumer):
            self._timer = asyncio.get_running_loop().call_later(REST_SECONDS, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._slow or monotonic() - self._asked < REST_SECONDS:
            self._look_later()
        else:
            self._start(self._rest())

    async def _rest(self) -> None:
        """Nobody asks any more."""
        with contextlib.suppress(Exception):  # lost with the connection, it goes back as well
            await self.give_back(False)

    async def give_back(self, closing: bool) -> None:
        """Have what lies here go back, before all that is still there.

        Args:
            closing: whether also if somebody has asked meanwhile.
        """
        async with self._lock:
            await self._let_go()
            if not closing and (self._slow or monotonic() - self._asked < REST_SECONDS):
                self._look_later()  # who asks takes these first
                return
            channel = self._channel
            with self._handing:
                tags = [got.tag for got in self._came]
                if channel is None or channel.closed is not None or not tags:
                    return
                self._came.clear()
                channel.settle(tags, False)
            await channel.flush()

    # -- state

    async def beside(self, look: Callable[[], Coroutine[Any, Any, T]]) -> tuple[T, int]:
        """What `look` says of the queue at the server, and how many lie here that it does not count any more."""
        async with self._lock:
            seen = await look()
            here = len(self._came)
            channel = self._channel
            if not self._consumer or channel is None or channel.closed is not None:
                return seen, here
            # What the server sent before it was asked is here after a flush; but so is what it sent after that, and it
            # counted that as well. Asked twice, with the same answer, it sent nothing in between.
            for _ in range(_MOST_LOOKS):
                await channel.flush()
                here = len(self._came)
                before, seen = seen, await look()
                if seen == before:
                    break
            return seen, here

    async def drop(self) -> int:
        """Acknowledge all that lies here: nobody gets it. How many that were."""
        async with self._lock:
            await self._let_go()
            with self._handing:
                found = list(self._came)
                self._came.clear()
                if self._channel is None or self._channel.closed is not None:
                    return 0  # they are the server's again
                self._acknowledge(found)
            await self._channel.flush()
            return len(found)
