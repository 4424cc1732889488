"""A topic on Kafka."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..port import Message
from ..topic_port import Cursor, TopicBackend, WhenSlow
from .connected import KafkaConnection
from .cursor import KafkaCursor

__all__ = ["KafkaTopic", "topic_config"]


def topic_config(config: dict[str, str]) -> dict[str, str]:
    """How a topic is kept: as the cluster keeps topics."""
    return {key: value for key, value in config.items() if not key.startswith("retention")}


class KafkaTopic(KafkaConnection, TopicBackend):
    """A topic: one of Kafka's, kept as the cluster keeps topics."""

    def _config(self) -> dict[str, str]:
        return topic_config(super()._config())

    def publish(self, messages: Sequence[Message], wait: float) -> int:
        return self._client.sender.send(messages, wait, True)

    def subscribe(self, patterns: Sequence[str], from_: str | int, when_slow: WhenSlow) -> Cursor:
        return KafkaCursor(self._client, self._url, from_, when_slow)

    def figures(self) -> Mapping[str, int]:
        client = self._client
        ends = client.ends() or {}
        bounds = client.bounds(self._url.name, range(client.partitions))
        published = {key: min(end, ends.get(key, end)) for key, (_, end) in bounds.items()}
        kept = sum(max(end - bounds[key][0], 0) for key, end in published.items())
        return {"published": sum(published.values()), "kept": kept}
