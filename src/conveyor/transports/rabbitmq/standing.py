"""Consumers of one connection that stand at the server as long as a call waits for items under lease."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any

from .channel import Channel, Got

__all__ = ["StandingConsumers"]

_MOST_LEASED = 1000
# A call that looks at the queue's end between two waits is back by then; and one that has ended without an item, when
# its program asks again and again.
_BETWEEN_SECONDS, _AFTER_SECONDS = 2.0, 0.005


class _Consumer:
    """One consumer, and what it was sent."""

    def __init__(self, channel: Channel, room: int) -> None:
        self.channel = channel
        self.room = room
        self.tag = ""
        self.came: list[Got] = []
        self.arrived = asyncio.Event()
        self.over: asyncio.TimerHandle | None = None

    def on_message(self, got: Got) -> None:
        self.came.append(got)
        self.arrived.set()


class StandingConsumers:
    """Waits for leases. All methods are for the loop's thread.

    What the server sends to a consumer that is cancelled at that moment goes back, and the server counts an attempt
    that nobody has made. So a consumer is not cancelled whenever a wait is over: it stands until it has got something,
    or until the call that waits has ended.

    Args:
        queue: the name at the server.
    """

    def __init__(self, queue: str) -> None:
        self._queue = queue
        self._idle: list[_Consumer] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._idle)

    async def wait(self, channel: Channel, most: int, wait: float) -> list[Got]:
        """What is there or comes within so many seconds, at most `most`."""
        room = min(most, _MOST_LEASED)
        each = self._resume(channel, room)
        try:
            if each is None:
                each = _Consumer(channel, room)
                each.tag = await channel.consume(self._queue, room, each.on_message)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(each.arrived.wait(), wait)
            if each.came:
                return await self._end(each)
        except BaseException:
            if each is not None:
                self._start(self._give_back(each))
            raise
        self._stand(each, _BETWEEN_SECONDS)
        return []

    async def recall(self, channel: Channel) -> list[Got]:
        """Have none stand any more; what they were sent."""
        found: list[Got] = []
        try:
            while self._idle:
                each = self._leave(self._idle[-1])
                if each.channel is channel:
                    found += await self._end(each)
        except BaseException:
            if channel.closed is None:
                channel.settle([got.tag for got in found], False)
            raise
        return found

    def rest(self) -> None:
        """A call that waited has ended, with nothing."""
        for each in self._idle:
            self._stand_for(each, _AFTER_SECONDS)

    # -- one of them

    def _resume(self, channel: Channel, room: int) -> _Consumer | None:
        for each in self._idle:
            if each.channel is channel and each.room == room:
                return self._leave(each)
        return None

    def _leave(self, each: _Consumer) -> _Consumer:
        self._idle.remove(each)
        if each.over is not None:
            each.over.cancel()
            each.over = None
        return each

    def _stand(self, each: _Consumer, seconds: float) -> None:
        self._idle.append(each)
        self._stand_for(each, seconds)

    def _stand_for(self, each: _Consumer, seconds: float) -> None:
        if each.over is not None:
            each.over.cancel()
        each.over = asyncio.get_running_loop().call_later(seconds, self._forsake, each)

    def _forsake(self, each: _Consumer) -> None:
        self._start(self._give_back(self._leave(each)))

    async def _end(self, each: _Consumer) -> list[Got]:
        """What it was sent; no more comes."""
        channel = each.channel
        full = len(each.came) >= each.room
        if not full and each.came:
            full = await channel.catch_up(self._queue, each.tag, each.room)
        if full:
            channel.cancel_soon(each.tag)
        else:
            await channel.cancel(each.tag)
        return each.came

    async def _give_back(self, each: _Consumer) -> None:
        with contextlib.suppress(Exception):  # lost with the connection, it goes back as well
            if each.tag:
                found = await self._end(each)
                each.channel.settle([got.tag for got in found], False)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
