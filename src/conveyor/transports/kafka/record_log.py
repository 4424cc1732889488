"""The control record on Kafka: a log of one partition, in which the first of several changes of the same version wins.

Each message says which version it replaces, the offset of the one before. Who reads the log in its order applies those
that replace the version that is in force then, and drops the others: so all agree. Whoever writes reads on to his own
message, and sees whether it was applied. What lies before the one in force is deleted now and then.

Another kind of message says where the queue ends, by the offset of the end's own message in each partition; the first
of those counts.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable
from importlib import import_module
from time import monotonic
from typing import Any

from ..port import ConnectionLost
from .settings import ANSWER_SECONDS, KafkaException, consumer_settings, raised

__all__ = ["END", "RecordLog"]

_kafka: Any = import_module("confluent_kafka")

END = "conveyor-end"
"""The header of the message at the end of a partition."""
_REPLACES, _ENDS = "conveyor-replaces", "conveyor-ends"
# So many messages may lie before the one that is in force.
_MOST_OLD = 500


class RecordLog:
    """The record as one process reads it.

    Args:
        client: with `url`, `extent`, `partitions_of`, `put_one`, `delete_before`.
        topic: the name of the log.

    Attributes:
        record: as it was read last, and its version; None: there is none.
        is_ended, is_dropped: whether it says so, and that what waited was dropped.
        ends: where each partition ends, once that is said.
    """

    def __init__(self, client: Any, topic: str) -> None:
        self._client = client
        self._topic = topic
        # Reentrant, as the handler of a signal may put or look as well.
        self._lock = threading.RLock()
        self._turns = 0
        self._reader: Any = None
        self._place = 0
        self._first = 0
        # Between a message's leaving the client and its place: a signal's handler that raises there takes it away.
        self._is_torn = False
        self._applied: deque[int] = deque(maxlen=1000)
        self.record: tuple[bytes, int] | None = None
        self.is_ended = self.is_dropped = False
        self.ends: dict[int, int] | None = None

    def close(self) -> None:
        """Read no more."""
        with self._lock:
            reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()

    # -- reading

    def read(self) -> tuple[bytes, int] | None:
        """The record as it is now, and its version; None: there is none."""
        with self._lock:
            return self._read(0)

    def read_ends(self) -> tuple[bool, dict[int, int] | None] | None:
        """Whether the record says now that the queue has ended, and where its partitions do; None: there is none."""
        with self._lock:
            # Under the lock until all is known: another thread may begin to read anew, and knows of no end meanwhile.
            return None if self._read(0) is None else (self.is_ended, self.ends)

    def _read(self, at_least: int) -> tuple[bytes, int] | None:
        while True:
            self._turns += 1
            turn = self._turns
            try:
                extent = self._extent()
                if extent is None:
                    self._close()
                    return None
                first, end = extent
                if self._reader is None:
                    self._open()
                if self._is_torn or end < self._place or first > self._place:
                    self._start(first)  # it is another log of that name, or much has happened
                self._read_to(max(end, at_least), turn)
            except KafkaException as error:
                raise raised(error, self._client.url) from error
            finally:
                # A signal's handler has read meanwhile, and what either made of it may be the other's.
                self._is_torn |= self._turns != turn
            if self._turns == turn:
                return self.record

    def _extent(self) -> tuple[int, int] | None:
        # A client that has asked for a topic that is not there goes on saying so for a while when it is.
        if self._reader is None and not self._client.partitions_of(self._topic):
            return None
        extent: tuple[int, int] | None = self._client.extent(self._topic)
        return extent

    def _close(self) -> None:
        """There is no such log, any more or yet."""
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()
        self._forget()

    def _where(self, offset: int = 0) -> Any:
        return _kafka.TopicPartition(self._topic, 0, offset)

    def _open(self) -> None:
        settings = consumer_settings(self._client.url)
        fresh = _kafka.Consumer({**settings, "error_cb": self._client.on_error})
        self._reader, other = fresh, self._reader
        self._is_torn = True
        if other is not None:  # of a signal's handler
            other.close()

    def _forget(self) -> None:
        self.record, self.ends = None, None
        self.is_ended = self.is_dropped = False
        self._applied.clear()

    def _start(self, first: int) -> None:
        self._is_torn = True
        self._forget()
        self._place = self._first = first
        self._reader.assign([self._where(first)])
        self._is_torn = False

    def _read_to(self, end: int, turn: int) -> None:
        until = monotonic() + ANSWER_SECONDS
        while self._place < end and self._turns == turn:
            self._is_torn = True
            message = self._reader.poll(0.1)
            if message is None:
                self._is_torn = False
                self._client.check()
                if monotonic() > until:
                    raise ConnectionLost("the control record is not sent")
                continue
            error = message.error()
            if error is not None:
                self._is_torn = False
                if monotonic() > until:
                    raise KafkaException(error)
                continue
            if message.offset() >= self._place:
                self._apply(message)
                self._place = message.offset() + 1
            self._is_torn = False

    def _apply(self, message: Any) -> None:
        headers: dict[str, bytes] = dict(message.headers() or ())
        if _ENDS in headers:
            if self.ends is None:
                self.ends = {int(key): value for key, value in json.loads(message.value()).items()}
            return
        if _REPLACES not in headers:
            return  # none of ours
        offset = message.offset()
        # What is deleted lies before the one in force: so the first that is left is one.
        known = b"" if self.record is None else str(self.record[1]).encode()
        if headers[_REPLACES] != known and not (self.record is None and offset == self._first):
            return
        data = message.value()
        self.record = data, offset
        self._applied.append(offset)
        self.is_ended, self.is_dropped = (_says(data, "ended"), _says(data, "dropped"))

    # -- writing

    def write(self, record: bytes, version: int | None) -> bool:
        """Put `record` in the place of that version; False: it is not in force any more."""
        replaces = b"" if version is None else str(version).encode()
        _, offset = self._client.put_one(self._topic, 0, record, [(_REPLACES, replaces)])
        with self._lock:
            self._read(offset + 1)
            done = offset in self._applied
            old = offset - self._first
            if done and old > _MOST_OLD and self.ends is None:
                self._client.delete_before(self._topic, {0: offset})
                self._first = offset
        return done

    def write_ends(self, put_end: Callable[[], dict[int, int]]) -> dict[int, int]:
        """Where the partitions end; if nobody has said that yet, `put_end` makes their ends."""
        if self.ends is None:
            self.read()
        if self.ends is None:
            body = json.dumps(put_end()).encode()
            _, offset = self._client.put_one(self._topic, 0, body, [(_ENDS, b"")])
            with self._lock:
                self._read(offset + 1)
        if self.ends is None:
            raise ConnectionLost("the control record is gone")
        return self.ends


def _says(record: bytes, what: str) -> bool:
    try:
        return bool(json.loads(record)[what])
    except (ValueError, KeyError, TypeError):
        return False
