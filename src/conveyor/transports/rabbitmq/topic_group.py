"""The events of a topic for a group, on RabbitMQ."""

from __future__ import annotations

import json

from ..port import Settings
from ..url import Url
from .channel import Channel, ChannelClosed
from .group_names import dead_letters_of, queue_of
from .queue import ARGUMENTS, RabbitQueue
from .wire import Wire

__all__ = ["RabbitTopicGroup"]

_NOT_THERE = 404


class RabbitTopicGroup(RabbitQueue):
    """A quorum queue that is bound to the topic's exchange; the record is the topic's."""

    def __init__(self, url: Url) -> None:
        super().__init__(url)
        self._topic = url.name
        group: str = url.options["group"]
        self._name = queue_of(url.name, group)
        self._dead_queue = dead_letters_of(url.name, group)
        self._place = (url.scheme, url.hosts, url.path, self._name)

    async def _make(self, channel: Channel) -> None:
        await channel.ask("exchange_declare", self._topic, "topic", durable=True)

    async def _end(self, channel: Channel) -> None:
        await channel.ask("exchange_delete", self._topic)

    def declare(self, settings: Settings) -> None:
        async def join(wire: Wire) -> None:
            channel = await wire.channel()
            try:
                await channel.ask("queue_declare", self._name, durable=True, arguments=ARGUMENTS)
                if not ended:
                    await channel.ask("queue_bind", self._name, self._topic, "#")
            except ChannelClosed as error:
                if error.code != _NOT_THERE:  # the exchange: the topic has ended meanwhile
                    raise
            finally:
                channel.close()

        found = self.read_record()
        if found is None:
            raise self._removed()
        ended = json.loads(found[0])["ended"]
        self._do(join)

    def destroy(self) -> None:
        async def destroy(wire: Wire) -> bool:
            if await self._count(wire, self._name) is None:
                return False
            channel = await wire.channel()
            try:
                await self._unmake(channel)
            finally:
                channel.close()
            return True

        if not self._do(destroy):
            raise FileNotFoundError(f"{self._url} does not exist")
