"""What one subscription reads of a topic on Kafka."""

from __future__ import annotations

import contextlib
from importlib import import_module
from time import monotonic
from typing import Any

from ...errors import Lagged, NotSupported
from ..topic_port import Cursor, Event, WhenSlow
from ..url import Url
from .client import Client
from .forks import outlives_forks
from .record_log import END
from .sender import CONTENT_TYPE
from .settings import KafkaException, consumer_settings, is_refusal, meaning, raised

__all__ = ["KafkaCursor"]

_kafka: Any = import_module("confluent_kafka")

_SLICE = 0.5
# So long an event that the broker has may take to come.
_COME_SECONDS = 5.0


class KafkaCursor(Cursor):
    """A reader of all partitions, in no group: its position is its own.

    With one partition the number of an event is its offset. With several it only grows, and is of no use as `from_`.
    """

    def __init__(self, client: Client, url: Url, from_: str | int, when_slow: WhenSlow) -> None:
        outlives_forks(self)
        self._client = client
        self._url = url
        self._fails = when_slow == "fail"
        count = client.partitions
        if isinstance(from_, int) and count > 1:
            raise NotSupported(
                f"{url}: the topic has {count} partitions, each with numbers of its own, so that from_ can be 'new' or "
                "'oldest'; use one with partitions=1"
            )
        self.missed = 0
        self._next: dict[int, int] = {}
        for partition, (first, end) in client.bounds(url.name, range(count)).items():
            if from_ == "new":
                start = end
            elif from_ == "oldest":
                start = first
            else:
                start = min(max(int(from_), first), end)
                self.missed = max(first - int(from_), 0)
            self._next[partition] = start
        self._behind = self.missed
        self.position = sum(self._next.values())
        self._ends: dict[int, int] = {}
        self._reader: Any = _kafka.Consumer({**consumer_settings(url), "error_cb": client.on_error})
        self._reader.assign(
            [_kafka.TopicPartition(url.name, partition, start) for partition, start in self._next.items()]
        )

    def read(self, most: int, wait: float) -> list[Event]:
        if self._fails and self._behind:
            raise Lagged(self.missed)
        events = self._read(most, wait)
        if not events and wait < _SLICE and self.lag():
            until = monotonic() + _COME_SECONDS
            while not events and monotonic() < until:
                events = self._read(most, until - monotonic())
        return events

    def _read(self, most: int, wait: float) -> list[Event]:
        try:
            message = self._reader.poll(wait)
            if message is None:
                self._client.check()
                return []
            messages = [message]
            if most > 1:
                messages += self._reader.consume(most - 1, 0)
        except KafkaException as error:
            raise raised(error, self._url) from error
        events: list[Event] = []
        for each in messages:
            event = self._event(each)
            if event is not None:
                events.append(event)
        if self._fails and self._behind:
            raise Lagged(self.missed)
        return events

    def _event(self, message: Any) -> Event | None:
        error = message.error()
        if error is not None:
            if is_refusal(error):
                raise meaning(error, self._url)
            return None  # what is of the connection, the client heals
        partition, offset = message.partition(), message.offset()
        gone = offset - self._next[partition]
        if gone < 0:
            return None
        headers: dict[str, bytes] = dict(message.headers() or ())
        self._next[partition] = offset + 1
        if gone:
            self.missed += gone
            self._behind += gone
            self.position += gone
        if offset >= self._ends.get(partition, offset + 1):
            return None  # behind the end
        if END in headers:
            self._ends |= self._client.ends() or {}
            return None
        kind = headers.get(CONTENT_TYPE) or b""
        key = message.key()
        event = Event(
            message.value() or b"",
            kind.decode("utf-8", "replace"),
            None if key is None else key.decode("utf-8", "surrogatepass"),
            self.position,
        )
        self.position += 1
        return event

    def lag(self) -> int:
        ends = self._client.ends() or {}
        bounds = self._client.bounds(self._url.name, self._next)
        return sum(
            max(min(end, ends.get(partition, end)) - max(self._next[partition], first), 0)
            for partition, (first, end) in bounds.items()
        )

    def resume(self) -> None:
        pass  # the client has made its connections again, and goes on where it was

    def close(self) -> None:
        with contextlib.suppress(KafkaException, RuntimeError):
            self._reader.close()
