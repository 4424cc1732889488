"""A topic on RabbitMQ."""

from __future__ import annotations

from collections.abc import Sequence

from ...errors import ItemTooLarge, NotSupported
from ..port import Ended, Message, Settings
from ..topic_port import Cursor, TopicBackend, WhenSlow
from .channel import Channel, Outgoing
from .connected import RabbitConnection
from .cursor import RabbitCursor
from .group_names import dead_letters_of, queue_of
from .lease_marker import marker_queue
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
        some: list[Outgoing] = []
        size = 0
        for message in messages[:_MOST_SENT]:
            some.append(self._outgoing(message.key or "", message))
            size += len(message.body)
            if size > _MOST_BYTES_SENT:
                break

        try:
            count, _ = self._publish(self._name, some, mandatory=False)
        except FileNotFoundError:  # the exchange: it ends with the topic
            if self.read_record() is None:
                raise
            raise Ended from None
        return count

    def destroy_groups(self, groups: Sequence[str]) -> None:
        async def destroy(wire: Wire) -> None:
            channel = await wire.channel()
            try:
                for group in groups:
                    queue = queue_of(self._name, group)
                    for name in (queue, dead_letters_of(self._name, group), marker_queue(queue)):
                        await channel.ask("queue_delete", name)
            finally:
                channel.close()

        self._do(destroy)

    def subscribe(self, patterns: Sequence[str], from_: str | int, when_slow: WhenSlow) -> Cursor:
        if from_ != "new":
            raise NotSupported(
                f"{self._url}: RabbitMQ keeps no events for later subscriptions, so that from_ can only be 'new'; "
                "use redis:// for a log"
            )
        return RabbitCursor(self._do, lambda: self._wire, self._name, patterns)
