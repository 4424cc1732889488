"""What a member of a group commits, for all that wait for it at a time."""

from __future__ import annotations

import contextlib
import threading
from importlib import import_module
from time import monotonic
from typing import Any

from ..port import ConnectionLost
from .settings import KafkaError, KafkaException, meaning
from .window import Window

__all__ = ["Commits"]

_kafka: Any = import_module("confluent_kafka")

# What is committed goes on being tried for so long while the group is being changed.
_COMMIT_SECONDS = 5.0
_PAUSE_SECONDS = 0.02
_LOOK_SECONDS = 0.5
_SHORT_SECONDS = 0.003
# So many items that are settled are deleted at a time, at least, and so often, at most.
_TRIM, _TRIM_SECONDS = 1000, 0.5
_NOT_NOW = (
    KafkaError.REBALANCE_IN_PROGRESS,
    KafkaError.ILLEGAL_GENERATION,
    KafkaError.STALE_MEMBER_EPOCH,
    KafkaError.FENCED_MEMBER_EPOCH,
    KafkaError.UNKNOWN_MEMBER_ID,
    KafkaError._STATE,
    KafkaError._ASSIGNMENT_LOST,
    KafkaError._WAIT_COORD,
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
)


class Commits:
    """What is to be committed, and who does it: the call that waits, if the client is free; else the thread that polls.

    The client bears one thread at a time: a second one sleeps a millisecond and tries again, and may never get in while
    the first polls in a loop. So each of its calls is made with `client_lock` held.

    Args:
        lock: of the windows.
        client: with `url`, `check`, `pause`, `delete_before`.
        consumer: the member.
        topic: with the items.
        mark: of the queue, for the metadata.
        trims: whether items that are settled may be deleted.

    Attributes:
        consumer: the member as it is now.
        dirty: the windows of which the broker does not know all.
        is_wanted: whether somebody waits for a commit that the thread that polls should make.
        is_waiting: whether that thread waits for messages, with the client.
        client_lock: held while the client is called.
        asked: told when somebody does, and for whatever else the thread should look at.
    """

    def __init__(
        self, lock: threading.RLock, client: Any, consumer: Any, topic: str, mark: str, trims: bool
    ) -> None:
        self.asked = threading.Condition(lock)
        self._done = threading.Condition(lock)
        self._client = client
        self.consumer = consumer
        self._topic = topic
        self._mark = mark
        self._trims = trims
        self.client_lock = threading.RLock()
        self._committed: dict[int, int] = {}
        self._trimmed: dict[int, int] = {}
        self._trim_at = 0.0
        self._error: Exception | None = None
        self.dirty: set[Window] = set()
        self.is_wanted = self.is_waiting = False

    def flush(self) -> None:
        """Wait until what was changed before is committed.

        Raises:
            ConnectionLost: nobody answers.
        """
        until = monotonic() + _COMMIT_SECONDS
        with self._done:
            wanted = [(window, window.revision) for window in self.dirty]
            self._error = None
        self._serve_if_free()
        with self._done:
            while any(window.is_ours and window.durable < revision for window, revision in wanted):
                left = until - monotonic()
                error = self._failure()
                if error is not None and not isinstance(error, ConnectionLost):
                    raise error
                if left <= 0:
                    raise ConnectionLost("no answer" if error is None else str(error))
                self.is_wanted = True
                self.asked.notify()
                self._done.wait(min(left, _LOOK_SECONDS))

    def _failure(self) -> Exception | None:
        return self._error

    def _serve_if_free(self) -> None:
        lock = self.client_lock
        try:
            # The thread that polls has it for a moment; or waits for messages, and then it commits.
            if lock.acquire(timeout=0 if self.is_waiting else _SHORT_SECONDS):
                self._serve()
        finally:
            if lock._is_owned():  # type: ignore[attr-defined]  # also if a signal's handler raised just behind `acquire`
                lock.release()

    def serve(self) -> bool:
        """Commit all that there is; False: that could not be done now. For the thread that polls."""
        with self.client_lock:
            is_done = self._serve()
        if not is_done:
            self._client.pause(_PAUSE_SECONDS)
        return is_done

    def _serve(self) -> bool:
        with self._done:
            self.is_wanted = False
            some = [(window, window.revision, window.low) for window in self.dirty]
            places = [
                _kafka.TopicPartition(self._topic, window.partition, low, window.dump(self._mark))
                for window, _, low in some
            ]
        error = self._commit(places)
        with self._done:
            if error is None:
                for window, revision, low in some:
                    window.durable = max(window.durable, revision)
                    self._committed[window.partition] = low
                    if window.revision == revision:
                        self.dirty.discard(window)
            else:
                found = meaning(error, self._client.url)
                later = error.code() in _NOT_NOW and not isinstance(found, ConnectionLost)
                self._error = ConnectionLost(str(found)) if later else found
                self.is_wanted = True
            self._done.notify_all()
        return error is None

    def _commit(self, places: list[Any]) -> Any:
        """Why it could not be; None: it was."""
        if not places:
            return None
        try:
            answers = self.consumer.commit(offsets=places, asynchronous=False)
        except KafkaException as error:
            return error.args[0]
        return next((answer.error for answer in answers if answer.error is not None), None)

    def lose(self, window: Window) -> None:
        """It is another member's now. With the lock held."""
        self.dirty.discard(window)
        self._done.notify_all()

    def trim(self) -> None:
        """Delete what is settled, now and then. For the thread that polls."""
        now = monotonic()
        if not self._trims or now < self._trim_at:
            return
        offsets: dict[int, int] = {}
        for partition, low in list(self._committed.items()):
            if low - self._trimmed.get(partition, 0) >= _TRIM:
                offsets[partition] = self._trimmed[partition] = low
        if offsets:
            self._trim_at = now + _TRIM_SECONDS
            with contextlib.suppress(ConnectionLost, OSError):
                self._client.delete_before(self._topic, offsets)
