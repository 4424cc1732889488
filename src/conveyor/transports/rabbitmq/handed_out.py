"""HandedOut: a look through what a queue on RabbitMQ has set aside; the server shows it by handing it out."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Sequence
from time import monotonic
from typing import Any

from ..port import Aside, Delivery
from .channel import Channel, ChannelClosed
from .wire import Wire

__all__ = ["HandedOut"]

_NOT_THERE = 404
# So long is waited at the end for the queue to have back what it has shown.
_BACK_SECONDS = 2.0


class HandedOut(Aside):
    """What it shows is in this one's hands until it is removed or the look is over; then it goes back to its place.

    Args:
        do: has the connection's loop run a coroutine.
        name: of the queue at the server that has what was set aside.
    """

    def __init__(self, do: Callable[[Callable[[Wire], Coroutine[Any, Any, Any]]], Any], name: str) -> None:
        self._do = do
        self._name = name
        self._channel: Channel | None = None
        self._held: list[int] = []

    def next(self, most: int) -> list[Delivery]:
        async def look(wire: Wire) -> list[Delivery]:
            channel = self._channel
            if channel is None:
                channel = self._channel = await wire.channel()
            found: list[Delivery] = []
            while len(found) < most:
                try:
                    got = await channel.get(self._name)
                except ChannelClosed as error:
                    if error.code != _NOT_THERE:
                        raise
                    break
                if got is None:
                    break
                self._held.append(got.tag)
                headers: dict[str, Any] = got.properties.headers or {}
                found.append(
                    Delivery(
                        got.body,
                        got.properties.content_type or "",
                        got.tag,
                        int(headers.get("attempts", 1)),
                        str(headers.get("error", "")),
                    )
                )
            return found

        found: list[Delivery] = self._do(look)
        return found

    def remove(self, deliveries: Sequence[Delivery]) -> None:
        channel = self._channel
        tags = [each.tag for each in deliveries]
        if channel is None or not tags:
            return

        async def settle(_: Wire) -> None:
            channel.settle(tags, True)
            await channel.flush()

        self._do(settle)
        gone = set(tags)
        self._held = [tag for tag in self._held if tag not in gone]

    def close(self) -> None:
        channel = self._channel
        if channel is None:
            return

        async def close(_: Wire) -> None:
            channel.settle(self._held, False)
            # The queue may count before it takes them back, and who counts next must not miss them. Somebody else may
            # take them, though.
            until = monotonic() + _BACK_SECONDS
            while monotonic() < until:
                frame = await channel.ask("queue_declare", self._name, passive=True)
                if frame.method.message_count >= len(self._held):
                    break
                await asyncio.sleep(0.002)
            channel.close()

        with contextlib.suppress(Exception):  # it goes back with the connection as well
            self._do(close)
