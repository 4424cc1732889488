"""The events of a topic for a group, on NATS."""

# pyright: reportPrivateUsage=false
# A group makes the topic, if need be, as the topic makes itself.
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..port import Settings
from ..url import Url
from .names import group_names
from .protocol import ApiError
from .queue import NatsQueue, consumer_config
from .topic import NatsTopic
from .wire import Wire

__all__ = ["NatsTopicGroup"]


class NatsTopicGroup(NatsQueue):
    """A durable consumer of the topic's stream that all members share; the record is the topic's."""

    def __init__(self, url: Url) -> None:
        super().__init__(url)
        self._names = group_names(url.name, url.options["group"])
        self._topic = NatsTopic(url)

    def _check(self, record: bytes) -> None:
        self._topic._check(record)

    async def _make(self, wire: Wire) -> None:
        await self._topic._make(wire)

    def _at_end(self) -> Mapping[str, Any]:
        return self._topic._at_end()

    def declare(self, settings: Settings) -> None:
        self._do(self._join)
        super().declare(settings)

    async def _join(self, wire: Wire) -> None:
        names = self._names
        try:
            await wire.api(f"CONSUMER.INFO.{names.stream}.{names.consumer}")
        except ApiError as error:
            if error.code != ApiError.NO_CONSUMER:
                raise
            config = consumer_config(names.consumer, self._keep_alive, "new")
            await wire.api(
                f"CONSUMER.DURABLE.CREATE.{names.stream}.{names.consumer}",
                {"stream_name": names.stream, "config": config},
            )

    async def _leave(self, wire: Wire) -> bool:
        names = self._names
        try:
            await wire.api(f"CONSUMER.DELETE.{names.stream}.{names.consumer}")
        except ApiError as error:
            if error.code not in (ApiError.NO_CONSUMER, ApiError.NO_STREAM):
                raise
            return False
        return True

    def purge(self) -> None:
        async def purge(wire: Wire) -> None:
            await self._leave(wire)
            await self._join(wire)

        self._stock.clear()
        self._do(purge)

    def figures(self) -> Mapping[str, int]:
        return {name: figure for name, figure in super().figures().items() if name != "items_in"}

    def destroy(self) -> None:
        async def destroy(wire: Wire) -> bool:
            left = await self._leave(wire)
            await self._delete_stream(wire, self._names.dead_stream)
            return left

        if not self._do(destroy):
            raise FileNotFoundError(f"{self._url} does not exist")
