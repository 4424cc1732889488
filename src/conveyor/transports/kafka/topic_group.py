"""The events of a topic for a group, on Kafka."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..port import Connection, Settings
from ..url import Url
from .group import Group
from .queue import KafkaQueue
from .topic import dead_letters_of, topic_config

__all__ = ["KafkaTopicGroup"]

_PORTION = 1000
# What the group commits of the partitions of a topic from which it was removed.
_REMOVED = "removed"


class KafkaTopicGroup(KafkaQueue):
    """A group of Kafka's of that name, on the topic; the record is the topic's."""

    def __init__(self, url: Url) -> None:
        super().__init__(url)
        self._dead = dead_letters_of(self._dead, url.options["group"])

    def settings(self) -> Mapping[str, Any]:
        # Of the topic, if it is made now.
        return {**super().settings(), "group": f"conveyor.{self._url.name}"}

    def declare(self, settings: Settings) -> None:
        Connection.declare(self, settings)
        self._extra = settings.extra
        client = self._client
        known = self._committed()
        new = [partition for partition in range(client.partitions) if partition not in known]
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

    def _committed(self) -> dict[int, int]:
        """Where the group is, by partition; not of one that it has never had, or was removed from."""
        found = self._client.committed(range(self._client.partitions))
        return {partition: low for partition, (low, text) in found.items() if low >= 0 and text != _REMOVED}

    def destroy(self) -> None:
        known = self._committed()
        if not known:
            raise FileNotFoundError(f"{self._url} does not exist")
        self._client.remove([self._dead])
        # The group itself stays: it may have other topics. The cluster drops one that nobody uses.
        self._client.commit_last(known, _REMOVED)
