"""The events of a topic for a group, on Kafka."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from ..port import Connection, Settings
from ..url import Url
from .group import Group
from .queue import KafkaQueue
from .topic import topic_config

__all__ = ["KafkaTopicGroup"]

_PORTION = 1000


class KafkaTopicGroup(KafkaQueue):
    """A group of Kafka's of that name, on the topic; the record is the topic's."""

    def __init__(self, url: Url) -> None:
        super().__init__(url)
        # A group's name may have what a topic's may not.
        group: str = url.options["group"]
        self._dead = f"{self._dead}.{sha256(group.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"

    def settings(self) -> Mapping[str, Any]:
        # Of the topic, if it is made now.
        return {**super().settings(), "group": f"conveyor.{self._url.name}"}

    def declare(self, settings: Settings) -> None:
        Connection.declare(self, settings)
        self._extra = settings.extra
        client = self._client
        partitions = range(client.partitions)
        new = [partition for partition, (low, _) in client.committed(partitions).items() if low < 0]
        if new:
            ends = {partition: end for partition, (_, end) in client.bounds(self._url.name, new).items()}
            client.commit_first(ends, f"{self._extra['mark']}:")

    def _config(self) -> dict[str, str]:
        return topic_config(super()._config())

    @property
    def _group(self) -> Group:
        return self._client.joined_group(
            self._extra["mark"], False
        )  # others read what this group has settled

    def purge(self) -> None:
        while found := self.take(_PORTION, 0.0):
            del found

    def destroy(self) -> None:
        client = self._client
        if all(low < 0 for low, _ in client.committed(range(client.partitions)).values()):
            raise FileNotFoundError(f"{self._url} does not exist")
        client.remove([self._dead])
        client.remove_group()
