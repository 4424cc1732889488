"""This process as a member of the group of a queue's consumers: the thread that reads ahead."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from importlib import import_module
from time import monotonic
from typing import Any, TypeVar

from ..port import ConnectionLost
from .commits import Commits
from .marks import Marks
from .record_log import END
from .sender import CONTENT_TYPE
from .settings import (
    KafkaError,
    KafkaException,
    consumer_settings,
    is_refusal,
    meaning,
    raised,
)
from .window import Item, Window

__all__ = ["JOIN_SECONDS", "Member"]

_kafka: Any = import_module("confluent_kafka")

T = TypeVar("T")

_POLL_SECONDS = 0.1
_MOST_KINDS = 100
# While a commit may be wanted at any moment, what has come is looked at so often: soon after something has, or rarely.
_LOOK_SECONDS, _LONGEST_LOOK_SECONDS = 0.001, 0.02
_SHORT_SECONDS = 0.001
_MOST_AT_ONCE = 1000
# With so many items, or bytes, of each partition here, what else has come stays with the client, which holds its own
# bound of bytes: reading takes time from the calls that put or get.
_ENOUGH_HERE, _ENOUGH_BYTES_HERE = 500, 2**24
# With so many, a partition is paused until half of them are gone. What the client has of it then is fetched again.
_MOST_HERE, _MOST_BYTES_HERE = 8000, 2**26
# Who has asked for nothing for so long, and has nothing leased, leaves the group: others have what waits here.
_IDLE_SECONDS = 1.0
# So long it may take until the group has told us what is ours, and until that has come.
JOIN_SECONDS = 5.0
# A partition that should go to another member stays for so long, if something of it is leased.
_STAY_SECONDS = 1500.0
_MOST_SILENT = 1800.0
_LEAVE_SECONDS = 2.0


class Member:
    """A thread that joins the group while somebody here wants items, and reads ahead.

    Args:
        client: with `url`, `log`, `ends`, `bounds`, `delete_before`, `on_error`.
        topic: with the items.
        mark: of the queue, in what is committed.
        trims: whether items that are settled may be deleted.
    """

    def __init__(self, client: Any, topic: str, mark: str, trims: bool) -> None:
        self._client = client
        self._topic = topic
        self._mark = mark
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._windows: dict[int, Window] = {}
        self._kinds: dict[bytes, str] = {}  # content types, as they are written and as text
        self._turn = 0
        self._waiters = 0
        self._used_at = monotonic()
        self._is_member = False
        self._was_told = False
        self._is_behind = False  # the client has more
        self._look = _LOOK_SECONDS
        self._is_closed = self._is_broken = False
        self._error: Any = None
        self._consumer: Any = self._make()
        self._commits = Commits(self._lock, client, self._consumer, topic, mark, trims)
        self._thread = threading.Thread(target=self._run, name="conveyor-kafka-group", daemon=True)
        self._thread.start()

    def _make(self) -> Any:
        url = self._client.url
        settings = {**consumer_settings(url), "max.poll.interval.ms": int(_MOST_SILENT * 1000)}
        settings["group.protocol"] = url.options["protocol"]
        if url.options["protocol"] == "classic":
            seconds = url.options["session_timeout"]
            settings["session.timeout.ms"] = int(seconds * 1000)
            settings["heartbeat.interval.ms"] = int(min(seconds / 4, 0.5) * 1000)
            settings["partition.assignment.strategy"] = "cooperative-sticky"
        return _kafka.Consumer({**settings, "error_cb": self._on_error})

    def _on_error(self, error: Any) -> None:
        if error.fatal():
            self._is_broken = True
        self._client.on_error(error)

    # -- the thread

    def _run(self) -> None:
        while not self._is_closed:
            try:
                self._step(self._consumer)
            except Exception as error:
                self._fail(error)
                self._client.pause(_POLL_SECONDS)
            if self._is_broken:
                self._begin_again()
        self._leave()

    def _leave(self) -> None:
        with contextlib.suppress(KafkaException, RuntimeError), self._commits.client_lock:
            self._consumer.close()

    def _begin_again(self) -> None:
        """The client says that this member is of no use any more: as another one."""
        self._let_go(set(self._windows))
        self._leave()
        self._client.pause(_POLL_SECONDS)
        self._is_broken = self._is_member = False
        self._consumer = self._commits.consumer = self._make()

    def _fail(self, error: Exception) -> None:
        """The call that waits for an item raises it."""
        with self._changed:
            self._error = raised(error, self._client.url) if isinstance(error, KafkaException) else error
            self._changed.notify_all()

    def _step(self, consumer: Any) -> None:
        commits = self._commits
        with self._lock:
            wanted = self._is_wanted()
            while not wanted and not self._is_member and not self._windows:
                if self._is_closed:
                    return
                commits.asked.wait(_IDLE_SECONDS)
                wanted = self._is_wanted()
        if wanted and not self._is_member:
            self._was_told = False
            answers = map(self._guarded, (self._on_assign, self._on_revoke, self._on_lost))
            with commits.client_lock:
                consumer.subscribe([self._topic], *answers)
            self._is_member = True
        elif not wanted and self._is_member:
            self._is_member = False
            with commits.client_lock:
                consumer.unsubscribe()
        with self._lock:
            if commits.dirty and not self._waiters and monotonic() - self._used_at > _IDLE_SECONDS / 2:
                commits.is_wanted = True  # what was taken, and whose commit had no answer
        if commits.is_wanted:
            commits.serve()
        commits.trim()
        patience = self._patience()
        with commits.client_lock:
            self._hold_back(consumer)
            commits.is_waiting = patience > 0
            try:
                message = consumer.poll(patience)
            finally:
                commits.is_waiting = False
            messages = [] if message is None else [message]
            has_room = self._has_room()
            if messages and has_room:
                messages += consumer.consume(_MOST_AT_ONCE, 0)
        self._is_behind = len(messages) > _MOST_AT_ONCE or bool(messages and not has_room)
        self._look = _LOOK_SECONDS if messages and has_room else min(2 * self._look, _LONGEST_LOOK_SECONDS)
        if messages:
            self._receive(messages)

    def _patience(self) -> float:
        """Seconds for which to wait for a message: meanwhile nobody can commit."""
        with self._lock:
            if self._commits.is_wanted or self._is_closed or (self._is_behind and self._has_room()):
                return 0.0
            is_due = bool(self._commits.dirty) or any(window.leased for window in self._windows.values())
            if any(window.waiting for window in self._windows.values()) or (is_due and not self._waiters):
                # Nobody waits for a message, and a commit may be wanted at any moment.
                self._commits.asked.wait(self._look)
                return 0.0
            return _SHORT_SECONDS if is_due else _POLL_SECONDS

    def _is_wanted(self) -> bool:
        if self._waiters or monotonic() - self._used_at < _IDLE_SECONDS:
            return True
        return any(window.leased or window in self._commits.dirty for window in self._windows.values())

    def _has_room(self) -> bool:
        """Whether more should come here, of any partition."""
        with self._lock:
            windows = self._windows.values()
            return not windows or any(
                len(window.waiting) < _ENOUGH_HERE and window.bytes < _ENOUGH_BYTES_HERE for window in windows
            )

    def _hold_back(self, consumer: Any) -> None:
        """Fetch no more of what there is far too much of here."""
        with self._lock:
            for window in self._windows.values():
                fill = max(len(window.waiting) / _MOST_HERE, window.bytes / _MOST_BYTES_HERE)
                if window.is_paused:
                    if fill <= 0.5:
                        window.is_paused = False
                        consumer.resume([self._place(window.partition)])
                elif fill > 1:
                    window.is_paused = True
                    consumer.pause([self._place(window.partition)])

    def _place(self, partition: int, offset: int = _kafka.OFFSET_INVALID) -> Any:
        return _kafka.TopicPartition(self._topic, partition, offset)

    def _receive(self, messages: Sequence[Any]) -> None:
        # Read without the lock, which a call that takes items meanwhile holds. The windows are this thread's.
        items: list[Item] = []
        ends: list[Item] = []
        windows = self._windows
        for message in messages:
            error = message.error()
            if error is not None:
                if is_refusal(error) or error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                    self._fail(meaning(error, self._client.url))
                continue
            window = windows.get(message.partition())
            if window is None:
                continue
            kind = self._kind(message.headers() or ())
            item = Item(message.value() or b"", kind or "", window, message.offset())
            if kind is None:
                ends.append(item)
            items.append(item)
        for end in ends:
            place = items.index(end)
            self._add(items[:place])
            self._pass_end(end)
            del items[: place + 1]
        self._add(items)

    def _add(self, items: Sequence[Item]) -> None:
        with self._changed:
            for item in items:
                item.window.add(item)
            self._changed.notify_all()

    def _pass_end(self, end: Item) -> None:
        """Ask the record which end counts, before anything is made of what lies behind this one.

        There are several if two processes made one at a time, or somebody died before the record knew of his.
        """
        window, told = end.window, None
        if window.end is None:
            try:
                told = self._sure(self._client.ends)
            except BaseException:
                self._is_broken = True  # as another member it has once more what came behind
                raise
        with self._changed:
            if told is not None:
                window.end = told.get(window.partition)
            if window.pass_end(end.offset):
                self._commits.dirty.add(window)
                self._commits.is_wanted = True
            self._changed.notify_all()

    def _kind(self, headers: Sequence[tuple[str, bytes]]) -> str | None:
        """The content type; None: it is no item, but the end of its partition."""
        if len(headers) == 1 and headers[0][0] == CONTENT_TYPE:
            kind = headers[0][1]  # the usual
        else:
            found = dict(headers)
            if END in found:
                return None
            kind = found.get(CONTENT_TYPE) or b""
        name = self._kinds.get(kind)
        if name is None:
            name = kind.decode("utf-8", "replace")
            if len(self._kinds) < _MOST_KINDS:
                self._kinds[kind] = name
        return name

    # -- what the group says; called by `poll`

    def _guarded(self, answer: Callable[[Any, list[Any]], None]) -> Callable[[Any, list[Any]], None]:
        """The client cannot bear that one of these raises: the call that waits for an item does.

        The client takes what was not answered for agreed to, and this member would keep partitions of which it hands
        out nothing. So it leaves, and joins again.
        """

        def guarded(consumer: Any, places: list[Any]) -> None:
            try:
                answer(consumer, places)
            except Exception as error:
                self._fail(error)
                self._is_broken = True

        return guarded

    def _on_assign(self, consumer: Any, places: list[Any]) -> None:
        partitions = [place.partition for place in places]
        starts: list[Any] = []
        fresh: dict[int, Window] = {}
        if partitions:
            found = self._sure(lambda: self._client.committed(partitions))
            bounds = self._sure(lambda: self._client.bounds(self._topic, partitions))
            if found is None or bounds is None:
                return
            ended: dict[int, int] = self._client.log.ends or {}
            for partition in partitions:
                low, metadata = found[partition]
                first, _ = bounds[partition]
                marks = Marks.load(metadata, self._mark, low) if low >= 0 else None
                if marks is None:
                    low = first  # nothing is committed, or of a queue that had this name before
                window = fresh[partition] = Window(partition, low, marks)
                window.skip_to(first)
                window.end = ended.get(partition)
                starts.append(self._place(partition, window.next))
        consumer.incremental_assign(starts)
        with self._changed:
            self._windows |= fresh
            self._was_told = True
            self._changed.notify_all()

    def _sure(self, ask: Callable[[], T]) -> T | None:
        """What the broker says, however often it must be asked; None: this is closed."""
        while not self._is_closed:
            try:
                return ask()
            except ConnectionLost:
                self._client.pause(_POLL_SECONDS)
        return None

    def _on_revoke(self, consumer: Any, places: list[Any]) -> None:
        partitions = {place.partition for place in places}
        commits = self._commits
        until = monotonic() + _STAY_SECONDS
        with self._lock:
            leaving = [window for window in self._windows.values() if window.partition in partitions]
            for window in leaving:
                window.is_leaving = True
        while not self._is_closed and monotonic() < until:
            with self._lock:
                if not any(window.leased for window in leaving):
                    break
                if not commits.is_wanted:
                    commits.asked.wait(_POLL_SECONDS)
            if commits.is_wanted:
                commits.serve()
        until = monotonic() + JOIN_SECONDS
        while any(window in commits.dirty for window in leaving) and monotonic() < until:
            commits.serve()
        self._let_go(partitions)
        with contextlib.suppress(KafkaException):
            consumer.incremental_unassign(places)

    def _on_lost(self, consumer: Any, places: list[Any]) -> None:
        self._let_go({place.partition for place in places})
        with contextlib.suppress(KafkaException):
            consumer.incremental_unassign(places)

    def _let_go(self, partitions: set[int]) -> None:
        with self._changed:
            for partition in partitions:
                window = self._windows.pop(partition, None)
                if window is not None:
                    window.is_ours = False
                    self._commits.lose(window)
                    window.waiting.clear()
            self._changed.notify_all()

    def close(self) -> None:
        """Leave, and wait until the group knows; not for long, as it may be out of reach."""
        with self._lock:
            self._is_closed = True
            self._commits.asked.notify()
            self._changed.notify_all()
        if threading.current_thread() is not self._thread:
            self._thread.join(_LEAVE_SECONDS)
