"""Reading what waits in a queue on Kafka, as a member of no group and without a commit."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from importlib import import_module
from time import monotonic
from typing import Any, Self

from ..port import ConnectionLost, Delivery
from .client import Client
from .forks import outlives_forks
from .marks import Marks
from .record_log import END
from .sender import CONTENT_TYPE
from .settings import ANSWER_SECONDS, KafkaException, consumer_settings, raised

__all__ = ["Glance"]

_kafka: Any = import_module("confluent_kafka")


class Glance:
    """A reader for one look at a topic; a context manager."""

    def __init__(self, client: Client, topic: str) -> None:
        self._client = client
        self._topic = topic
        self._reader: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._reader is not None:
            with contextlib.suppress(KafkaException, RuntimeError):
                self._reader.close()

    def _begin(self, partition: int, first: int) -> Any:
        if self._reader is None:
            outlives_forks(self)
            settings = {**consumer_settings(self._client.url), "error_cb": self._client.on_error}
            self._reader = _kafka.Consumer(settings)
        self._reader.assign([_kafka.TopicPartition(self._topic, partition, first)])
        return self._reader

    def read(self, partition: int, first: int, end: int, marks: Marks, most: int) -> list[Delivery]:
        """The items that wait of those from `first` to before `end`, at most `most`.

        Their tags say when they were put: Unix time in milliseconds, by the clock of who put them, or the broker's if
        the topic is configured so; -1: it is not known.

        Raises:
            ConnectionLost: they do not come.
        """
        found: list[Delivery] = []
        if most < 1:
            return found
        with contextlib.closing(self.messages(partition, first, end)) as messages:
            for message in messages:
                offset = message.offset()
                headers: dict[str, bytes] = dict(message.headers() or ())
                if END not in headers and not (offset in marks.settled or offset in marks.leased):
                    kind = (headers.get(CONTENT_TYPE) or b"").decode("utf-8", "replace")
                    attempts = marks.returned.get(offset, 0)
                    _, put_at = message.timestamp()
                    found.append(Delivery(message.value() or b"", kind, put_at, attempts))
                    if len(found) == most:
                        break
        return found

    def messages(self, partition: int, first: int, end: int) -> Generator[Any]:
        """The messages of a partition from `first` to before `end`, as the client has them.

        Raises:
            ConnectionLost: they do not come.
        """
        if first >= end:
            return
        until = monotonic() + ANSWER_SECONDS
        place = first
        try:
            reader = self._begin(partition, first)
            while place < end:
                message = reader.poll(0.1)
                error = None if message is None else message.error()
                if message is None or error is not None:
                    self._client.check()
                    if monotonic() > until:
                        raise ConnectionLost("what waits is not sent" if error is None else str(error))
                    continue
                place = message.offset() + 1
                if message.offset() < end:
                    yield message
                until = monotonic() + ANSWER_SECONDS
        except KafkaException as error:
            raise raised(error, self._client.url) from error
