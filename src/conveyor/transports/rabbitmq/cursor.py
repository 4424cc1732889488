"""What one subscription reads of a topic on RabbitMQ."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from ..port import ConnectionLost
from ..topic_port import Cursor, Event
from .channel import Channel, ChannelClosed, Got
from .connected import new_name
from .wire import Wire

__all__ = ["RabbitCursor"]

# A queue that nobody reads for so long, in milliseconds, is one whose subscription is dead.
_EXPIRES = 10 * 60 * 1000
# Ids of the events that came last: those that come again after a lost connection are among them.
_REMEMBERED = 1000


class RabbitCursor(Cursor):
    """A queue of the subscription's own, which outlives a lost connection.

    Args:
        do: runs a coroutine on the connection.
        wire: the connection as it is now.
        name: of the exchange.
        patterns: of keys; none: all.
    """

    def __init__(
        self,
        do: Callable[..., Any],
        wire: Callable[[], Wire | None],
        name: str,
        patterns: Sequence[str],
    ) -> None:
        self._do = do
        self._wire = wire
        self._queue = f"conveyor.subscription.{name}.{new_name()}"
        self._channel: Channel | None = None
        self._came: deque[Got] = deque()
        self._news = asyncio.Event()
        self._last: deque[str] = deque(maxlen=_REMEMBERED)
        self.position = 0

        async def start(wire: Wire) -> None:
            await self._start(wire, name, patterns or ["#"])

        do(start)

    async def _start(self, wire: Wire, name: str, patterns: Sequence[str]) -> None:
        channel = await wire.channel()
        await channel.ask("queue_declare", self._queue, durable=True, arguments={"x-expires": _EXPIRES})
        try:
            for pattern in patterns:
                await channel.ask("queue_bind", self._queue, name, pattern)
        except ChannelClosed as error:
            if error.code != 404:
                raise
            channel = await wire.channel()  # the topic is at its end: nothing will come
        await self._consume(channel)

    async def _consume(self, channel: Channel) -> None:
        self._channel = channel
        self._came.clear()
        self._news = asyncio.Event()

        def on_message(got: Got) -> None:
            self._came.append(got)
            self._news.set()

        await channel.consume(self._queue, 2 * self.ahead, on_message)

    def read(self, most: int, wait: float) -> list[Event]:
        async def read(_: Wire) -> list[Event]:
            channel = self._channel
            if channel is None or channel.closed is not None:
                raise ConnectionLost("the channel of the subscription is closed")
            if not self._came and wait > 0:
                self._news.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._news.wait(), wait)
            found: list[Event] = []
            tags: list[int] = []
            while self._came and len(found) < most:
                got = self._came.popleft()
                tags.append(got.tag)
                name = got.properties.message_id or ""
                if got.redelivered and name in self._last:
                    continue  # it was read, and the word of that was lost
                self._last.append(name)
                found.append(self._event(got))
            channel.settle(tags, True)
            return found

        events: list[Event] = self._do(read, wait)
        return events

    def _event(self, got: Got) -> Event:
        event = Event(got.body, got.properties.content_type or "", got.key or None, self.position)
        self.position += 1
        return event

    def lag(self) -> int:
        async def count(wire: Wire) -> int:
            channel = await wire.kept("look")
            frame = await channel.ask("queue_declare", self._queue, passive=True)
            return int(frame.method.message_count) + len(self._came)

        behind: int = self._do(count)
        return behind

    def resume(self) -> None:
        async def resume(wire: Wire) -> None:
            await self._consume(await wire.channel())

        self._do(resume)

    def close(self) -> None:
        async def close(wire: Wire) -> None:
            channel = await wire.channel()
            await channel.ask("queue_delete", self._queue)
            channel.close()

        with contextlib.suppress(ConnectionLost, OSError):
            self._do(close)
