"""The topics of memory://: a log in this process."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import Any, TypeVar

from ..errors import ItemTooLarge, Lagged
from .memory_store import MemoryConnection, MemoryStore
from .port import Ended, Message, Settings
from .topic_port import Cursor, Event, TopicBackend, WhenSlow
from .url import Url

__all__ = ["MemoryTopic"]

_DEFAULT_BYTES = 64 * 2**20
# What an event takes beside its bytes: as the topics in shared memory count it.
_EVENT_BYTES = 64


S = TypeVar("S", bound=MemoryStore)


class _Log(MemoryStore):
    """The events that are kept, the oldest first, and those who read them. All under one lock."""

    def __init__(self) -> None:
        super().__init__()
        self.max_bytes = _DEFAULT_BYTES
        self.keep: int | None = None
        self.events: deque[Event] = deque()
        self.first = 0  # the number of the oldest event that is kept
        self.next = 0
        self.bytes = 0
        self.bytes_published = 0
        self.cursors: set[_MemoryCursor] = set()
        self.groups: dict[str, Any] = {}

    def make_room(self, size: int) -> bool:
        """Drop old events until there is room; False: a subscription that blocks has not read the oldest one."""
        while self.bytes + size > self.max_bytes:
            if not self.events or self.is_held(self.first):
                return False
            self.drop()
        return True

    def is_held(self, number: int) -> bool:
        return any(cursor.blocks and cursor.position <= number for cursor in self.cursors)

    def drop(self) -> None:
        event = self.events.popleft()
        self.bytes -= _size(event.body)
        self.first += 1

    def trim(self) -> None:
        """Keep no more of what all have read than was asked for."""
        if self.keep is not None:
            read = min((cursor.position for cursor in self.cursors), default=self.next)
            while self.events and self.first < read - self.keep:
                self.drop()


def _size(body: bytes) -> int:
    return len(body) + _EVENT_BYTES


class _MemoryCursor(Cursor):
    ahead = 1  # nothing is gained by more, and how far it is behind stays exact

    def __init__(self, log: _Log, position: int, when_slow: WhenSlow) -> None:
        self._log = log
        self.position = position
        self.missed = 0
        self.blocks = when_slow == "block"
        self._fails = when_slow == "fail"

    def read(self, most: int, wait: float) -> list[Event]:
        log = self._log
        until = monotonic() + wait
        with log.lock:
            while self.position >= log.next:
                left = until - monotonic()
                if left <= 0 or log.ended:
                    return []
                log.items.wait(left)
            self.catch_up()
            start = self.position - log.first
            found = [log.events[index] for index in range(start, min(start + most, len(log.events)))]
            self.position += len(found)
            log.trim()
            log.room.notify_all()
        return found

    def catch_up(self) -> None:
        gone = self._log.first - self.position
        if gone > 0:
            self.missed += gone
            if self._fails:
                raise Lagged(self.missed)
            self.position = self._log.first

    def lag(self) -> int:
        with self._log.lock:
            return self._log.next - max(self.position, self._log.first)

    def resume(self) -> None:
        pass

    def close(self) -> None:
        with self._log.lock:
            self._log.cursors.discard(self)
            self._log.trim()
            self._log.room.notify_all()


class MemoryTopic(MemoryConnection[_Log], TopicBackend):
    """A topic in this process."""

    def __init__(self, url: Url) -> None:
        super().__init__("topic", url.name, _Log())

    def declare(self, settings: Settings) -> None:
        self.store.max_bytes = settings.max_bytes or _DEFAULT_BYTES
        self.store.keep = settings.keep

    def publish(self, messages: Sequence[Message], wait: float) -> int:
        log = self.store
        largest = max(_size(message.body) for message in messages)
        if largest > log.max_bytes // 4:
            raise ItemTooLarge(
                f"the event takes {largest} bytes and can never be published: at most a quarter of max_bytes "
                f"({log.max_bytes}) may be; raise max_bytes or send smaller events"
            )
        until = monotonic() + wait
        with log.lock:
            if log.ended:
                raise Ended
            while not log.make_room(_size(messages[0].body)):
                left = until - monotonic()
                if left <= 0:
                    return 0
                log.room.wait(left)
                if log.ended:
                    raise Ended
            published = 0
            for message in messages:
                size = _size(message.body)
                if published and not log.make_room(size):
                    break
                log.events.append(Event(message.body, message.content_type, message.key, log.next))
                log.next += 1
                log.bytes += size
                log.bytes_published += len(message.body)
                published += 1
            for group in log.groups.values():
                with group.lock:
                    for message in messages[:published]:
                        group.add(message)
                    group.items.notify(published)
            log.trim()
            log.items.notify_all()
        return published

    def write_record(self, record: bytes, version: Any) -> bool:
        written = super().write_record(record, version)
        log = self.store
        with log.lock:
            for group in log.groups.values():
                _tell(group, log.ended)
        return written

    def join_group(self, name: str, fresh: S) -> S:
        """What the group of that name has; `fresh`, if there was none."""
        log = self.store
        with log.lock:
            group: S = log.groups.setdefault(name, fresh)
            _tell(group, log.ended)
        return group

    def leave_group(self, name: str) -> bool:
        """Remove a group; whether there was one."""
        with self.store.lock:
            return self.store.groups.pop(name, None) is not None

    def subscribe(self, patterns: Sequence[str], from_: str | int, when_slow: WhenSlow) -> Cursor:
        log = self.store
        with log.lock:
            if from_ == "new":
                position = log.next
            elif from_ == "oldest":
                position = log.first
            else:
                position = min(int(from_), log.next)
            cursor = _MemoryCursor(log, position, when_slow)
            if position < log.first:
                cursor.missed = log.first - position
                cursor.position = log.first
            log.cursors.add(cursor)
        return cursor

    def figures(self) -> Mapping[str, int]:
        log = self.store
        with log.lock:
            return {
                "published": log.next,
                "bytes_published": log.bytes_published,
                "bytes_kept": log.bytes,
                "kept": len(log.events),
                "subscriptions": len(log.cursors),
            }


def _tell(group: MemoryStore, ended: bool) -> None:
    with group.lock:
        group.ended = ended
        group.changes += 1
        group.items.notify_all()
