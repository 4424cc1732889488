"""A topic on RabbitMQ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...errors import ItemTooLarge, NotSupported
from ..port import Ended, Message, Settings
from ..topic_port import Cursor, TopicBackend, WhenSlow
from .channel import Channel, ChannelClosed
from .connected import RabbitConnection
from .cursor import RabbitCursor
from .wire import Wire

__all__ = ["RabbitTopic"]

_MOST_SENT, _MOST_BYTES_SENT = 1000, 2**23
_LONGEST = 128 * 2**20


class RabbitTopic(RabbitConnection, TopicBackend):
    """A topic: an exchange until its end, and a queue for each subscription, which takes any number of events."""

    async def _make(self, channel: Channel) -> None:
        await channel.ask("exchange_declare", self._name, "topic", durable=True)

    async def _end(self, channel: Channel) -> None:
        await channel.ask("exchange_delete", self._name)

    async def _unmake(self, channel: Channel) -> None:
        await channel.ask("exchange_delete", self._name)

    def declare(self, settings: Settings) -> None:
        pass  # it was made before its record

    def publish(self, messages: Sequence[Message], wait: float) -> int:
        largest = max(len(message.body) for message in messages)
        if largest > _LONGEST:
            raise ItemTooLarge(
                f"the event takes {largest} bytes and can never be published: at most {_LONGEST} can; "
                "send smaller events"
            )
        some: list[tuple[str, bytes, Any]] = []
        size = 0
        for message in messages[:_MOST_SENT]:
            some.append((message.key or "", message.body, self._properties(message)))
            size += len(message.body)
            if size > _MOST_BYTES_SENT:
                break

        async def publish(wire: Wire) -> int:
            channel = await wire.kept("put")
            try:
                count, _ = await channel.publish(self._name, some, mandatory=False)
            except ChannelClosed as error:
                if error.code == 404:
                    return -1
                raise
            return count

        count = self._do(publish, wait)
        if count < 0:
            if self.read_record() is None:
                raise self._removed()
            raise Ended
        return count

    def subscribe(self, patterns: Sequence[str], from_: str | int, when_slow: WhenSlow) -> Cursor:
        if from_ != "new":
            raise NotSupported(
                f"{self._url}: RabbitMQ keeps no events for later subscriptions, so that from_ can only be 'new'; "
                "use redis:// for a log"
            )
        return RabbitCursor(self._do, lambda: self._wire, self._name, patterns)
