"""Where partitions begin and end, and what the group has committed: asked by a client that is a member of no group.

The administration's client could tell the first as well, but librdkafka looks for the leaders of partitions in two
threads at a time there (rd_kafka_topic_partition_list_query_leaders_async, at least up to 2.16), and the process dies
of it if metadata comes just then. A consumer that asks does so in the thread that calls it.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from importlib import import_module
from queue import SimpleQueue
from time import monotonic
from typing import Any

from ..port import ConnectionLost
from .settings import ANSWER_SECONDS, KafkaError, KafkaException, consumer_settings, group_of, raised

__all__ = ["Observer"]

_kafka: Any = import_module("confluent_kafka")

# What a client says again and again that has not heard of a new leader, or has heard that there is no such topic.
_STALE = (
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_PARTITION,
    KafkaError._TIMED_OUT,
)
# With less time left nothing is asked.
_LEAST_SECONDS = 0.01
# Beyond what a call of the client may take, until it is said that there was no answer.
_GRACE_SECONDS = 1.0

Ask = Callable[[Any, float], Any]


class Observer:
    """Any thread may ask, and waits where a signal can reach it. One thread calls the client, from the first on.

    Args:
        client: with `url`, `check`, `on_error`.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._lock = threading.RLock()
        self._questions: SimpleQueue[tuple[Ask, float, Future[Any]] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._is_closed = False
        self._consumer: Any = None

    # -- questions

    def bounds(self, topic: str, partitions: Iterable[int]) -> dict[int, tuple[int, int]]:
        """The first offset and that behind the last, of each.

        Raises:
            ConnectionLost, PermissionError, OSError: nobody tells, or there is no such partition.
        """
        numbers = list(partitions)

        def ask(consumer: Any, until: float) -> dict[int, tuple[int, int]]:
            first, behind = (
                _offsets(consumer, [_kafka.TopicPartition(topic, number, which) for number in numbers], until)
                for which in (_kafka.OFFSET_BEGINNING, _kafka.OFFSET_END)
            )
            return {number: (first[number], behind[number]) for number in numbers}

        found: dict[int, tuple[int, int]] = self._ask(ask)
        if any(min(pair) < 0 for pair in found.values()):
            # The client takes no answer for one.
            raise ConnectionLost(f"no server tells the offsets of {topic}")
        return found

    def committed(self, topic: str, partitions: Iterable[int]) -> dict[int, tuple[int, str]]:
        """What the group has committed of each: the offset, below 0 if nothing, and the metadata.

        Raises:
            ConnectionLost, PermissionError, OSError: nobody tells.
        """
        places = [_kafka.TopicPartition(topic, number) for number in partitions]

        def ask(consumer: Any, until: float) -> dict[int, tuple[int, str]]:
            found = consumer.committed(places, timeout=max(until - monotonic(), _LEAST_SECONDS))
            _check(found)
            return {place.partition: (place.offset, place.metadata or "") for place in found}

        # Not by the administration: what a coordinator answers that does not have its groups yet, or any more, makes
        # librdkafka follow a null pointer where the client is in no group (rd_kafka_handle_OffsetFetch, 2.x).
        answer: dict[int, tuple[int, str]] = self._ask(ask)
        return answer

    def _ask(self, ask: Ask) -> Any:
        answer: Future[Any] = Future()
        with self._lock:
            if self._is_closed:
                raise ConnectionLost(f"{self._client.url} is closed")
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="conveyor-kafka-observer", daemon=True)
                self._thread.start()
            self._questions.put((ask, monotonic() + ANSWER_SECONDS, answer))
        try:
            return answer.result(ANSWER_SECONDS + _GRACE_SECONDS)
        except KafkaException as error:
            self._client.check()
            raise raised(error, self._client.url) from error
        except TimeoutError as error:
            raise ConnectionLost("no answer") from error

    # -- the thread

    def _run(self) -> None:
        while (question := self._questions.get()) is not None:
            ask, until, answer = question
            try:
                answer.set_result(self._answer(ask, until))
            except Exception as error:
                answer.set_exception(error)
            del question, ask, answer  # not kept until the next one comes
        self._let_go()

    def _answer(self, ask: Ask, until: float) -> Any:
        while True:
            is_fresh = self._consumer is None
            if until - monotonic() < _LEAST_SECONDS:
                raise ConnectionLost("no answer")
            if is_fresh:
                self._consumer = self._make()
            self._consumer.poll(0)  # the errors that it has to report
            try:
                return ask(self._consumer, until)
            except KafkaException as error:
                if error.args[0].code() not in _STALE:
                    raise
                self._let_go()
                if is_fresh or until - monotonic() < _LEAST_SECONDS:
                    raise

    def _make(self) -> Any:
        url = self._client.url
        return _kafka.Consumer(
            {
                **consumer_settings(url),
                "group.id": group_of(url),
                "isolation.level": "read_uncommitted",  # the end is that of all that was written
                "error_cb": self._client.on_error,
            }
        )

    def _let_go(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            with contextlib.suppress(KafkaException, RuntimeError):
                consumer.close()

    def close(self) -> None:
        """Answer what was asked, and let the connections go."""
        with self._lock:
            self._is_closed = True
            self._questions.put(None)


def _offsets(consumer: Any, places: list[Any], until: float) -> dict[int, int]:
    found = consumer.offsets_for_times(places, timeout=max(until - monotonic(), _LEAST_SECONDS))
    _check(found)
    return {place.partition: place.offset for place in found}


def _check(places: Iterable[Any]) -> None:
    for place in places:
        if place.error is not None:
            raise KafkaException(place.error)
