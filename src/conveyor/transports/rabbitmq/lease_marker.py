"""LeaseMarker: by what others see that this process has leases of a queue, which the server does not tell."""

from __future__ import annotations

import asyncio
from time import monotonic

from .channel import Channel, Got
from .wire import Wire

__all__ = ["LeaseMarker", "marker_queue"]

# It stands for so long after the last lease, as the next one is likely to follow.
_LINGER_SECONDS = 0.25
# The server drops the marker's queue when nobody has used it for so long.
_EXPIRES_SECONDS = 600
_ARGUMENTS = {"x-expires": _EXPIRES_SECONDS * 1000}


def marker_queue(queue: str) -> str:
    """The name of the queue that has a consumer for each process that has leases of `queue`."""
    return f"conveyor.leasing.{queue}"


class LeaseMarker:
    """A consumer of a queue that nobody puts into; it ends with its connection. For the loop's thread.

    Args:
        wire: the connection.
        queue: whose leases it stands for.
    """

    def __init__(self, wire: Wire, queue: str) -> None:
        self._wire = wire
        self._name = marker_queue(queue)
        self._out = 0
        self._consumer = ""
        self._declared_at = float("-inf")
        self._lock = asyncio.Lock()

    @property
    def stands(self) -> bool:
        """Whether others see it."""
        return bool(self._consumer)

    async def prepare(self) -> None:
        """Tell others that there may be leases of this queue from now on: before the first of them is taken."""
        if monotonic() - self._declared_at > _EXPIRES_SECONDS / 4:
            await self._declare()

    async def _declare(self) -> Channel:
        channel = await self._wire.kept("marker")
        await channel.ask("queue_declare", self._name, durable=True, arguments=_ARGUMENTS)
        self._declared_at = monotonic()
        return channel

    async def leased(self, count: int) -> None:
        """So many more are; they are not handed out before this returns."""
        self._out += count
        if not self._consumer:
            async with self._lock:
                if not self._consumer:
                    channel = await self._declare()  # the server may have dropped it since
                    self._consumer = await channel.consume(self._name, 1, _ignore)

    def settled(self, count: int) -> None:
        """So many are not any more."""
        self._out -= count
        if self._out <= 0:
            asyncio.get_running_loop().call_later(_LINGER_SECONDS, self._look)

    def _look(self) -> None:
        if self._out <= 0 and self._consumer and self._wire.is_open:
            channel = self._wire.opened("marker")
            consumer, self._consumer = self._consumer, ""
            if channel is not None:
                channel.cancel_soon(consumer)


def _ignore(_: Got) -> None:
    """Nobody puts anything there."""
