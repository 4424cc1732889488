"""A topic on Kafka."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256

from ..port import Message
from ..topic_port import Cursor, TopicBackend, WhenSlow
from .connected import KafkaConnection
from .cursor import KafkaCursor

__all__ = ["KafkaTopic", "dead_letters_of", "topic_config"]


def topic_config(config: dict[str, str]) -> dict[str, str]:
    """How a topic is kept: as the cluster keeps topics."""
    return {key: value for key, value in config.items() if not key.startswith("retention")}


def dead_letters_of(dead: str, group: str) -> str:
    """The topic with what was set aside of a group.

    Args:
        dead: that of the topic itself.
        group: its name, which may have what a topic's may not.
    """
    return f"{dead}.{sha256(group.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"


class KafkaTopic(KafkaConnection, TopicBackend):
    """A topic: one of Kafka's, kept as the cluster keeps topics."""

    def _config(self) -> dict[str, str]:
        return topic_config(super()._config())

    def publish(self, messages: Sequence[Message], wait: float) -> int:
        return self._client.sender.send(messages, wait, True)

    def subscribe(self, patterns: Sequence[str], from_: str | int, when_slow: WhenSlow) -> Cursor:
        return KafkaCursor(self._client, self._url, from_, when_slow)

    def destroy_groups(self, groups: Sequence[str]) -> None:
        # What else they have are offsets, which the cluster drops with the topic. They may be groups of others, too.
        self._client.remove([dead_letters_of(self._dead, group) for group in groups])

    def figures(self) -> Mapping[str, int]:
        client = self._client
        ends = client.ends() or {}
        bounds = client.bounds(self._url.name, range(client.partitions))
        published = {key: min(end, ends.get(key, end)) for key, (_, end) in bounds.items()}
        kept = sum(max(end - bounds[key][0], 0) for key, end in published.items())
        return {"published": sum(published.values()), "kept": kept}
