"""The administration of topics and groups: a client of its own, made anew when it asks who cannot answer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import Any, TypeVar

from ..port import ConnectionLost
from .settings import ANSWER_SECONDS, KafkaError, KafkaException, raised, shared_settings

__all__ = ["Administration"]

_admin: Any = import_module("confluent_kafka.admin")

K = TypeVar("K")

# What a client says for ever that has not heard of a new leader, or that its connection is half closed.
_STALE = (
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError._NOENT,
    KafkaError._TIMED_OUT,
)
# For a question whose answer nobody waits for.
_SHORT_SECONDS = 1.0


class Administration:
    """What changes topics and groups. Any thread may ask.

    Args:
        client: with `url`, `check`, `on_error`.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._lock = threading.RLock()
        self._asked: Any = None

    def _current(self) -> Any:
        with self._lock:
            if self._asked is None:
                settings = shared_settings(self._client.url)
                self._asked = _admin.AdminClient({**settings, "error_cb": self._client.on_error})
            return self._asked

    def ask(
        self, how: Callable[[Any], Mapping[K, Any]], fine: Iterable[int] = (), wait: bool = True
    ) -> dict[K, Any]:
        """What comes of each.

        Args:
            how: asks the client for it, and returns a future for each.
            fine: errors that are a result.
            wait: for the answers; without it there are no results, and nobody hears what came of it.

        Raises:
            ConnectionLost, PermissionError, OSError: the first error that is not fine.
        """
        # Held here until all have answered: a client that is collected leaves its futures without an answer, for ever.
        asked = self._current()
        results: dict[K, Any] = {}
        try:
            futures = how(asked)
            for key, future in futures.items() if wait else ():
                try:
                    results[key] = future.result(2 * ANSWER_SECONDS)
                except KafkaException as error:
                    if error.args[0].code() not in fine:
                        raise
                    results[key] = error.args[0]
        except KafkaException as error:
            self._client.check()
            if error.args[0].code() in _STALE:
                self._leave(asked)
            raise raised(error, self._client.url) from error
        except TimeoutError as error:
            self._leave(asked)
            raise ConnectionLost("no answer") from error
        finally:
            del asked  # not with the exception's frames, which may live long
        return results

    def delete_records(self, topic: str, places: list[Any], wait: bool) -> None:
        """Delete what lies before each of these places of a topic's; see `ask` for `wait`, and what it raises."""

        def ask(admin: Any) -> Mapping[Any, Any]:
            # The client must know the leaders before: else it looks for them in two threads at a time, and the process
            # dies of it if metadata comes just then; see `Observer`.
            seconds = ANSWER_SECONDS if wait else _SHORT_SECONDS
            known = admin.list_topics(topic, timeout=seconds).topics[topic]
            if known.error is not None:
                raise KafkaException(known.error)
            for place in places:
                partition = known.partitions.get(place.partition)
                if partition is None or partition.leader < 0:
                    raise ConnectionLost(f"no server has partition {place.partition} of {topic}")
            found: Mapping[Any, Any] = admin.delete_records(places, request_timeout=ANSWER_SECONDS)
            return found

        self.ask(ask, wait=wait)

    def _leave(self, asked: Any) -> None:
        """Go on without it: it asks who cannot answer, a former leader, or by a half-closed connection."""
        with self._lock:
            if self._asked is asked:
                self._asked = None

    def close(self) -> None:
        """Let the connections go, when all have answered that were asked."""
        with self._lock:
            _, self._asked = self._asked, None
