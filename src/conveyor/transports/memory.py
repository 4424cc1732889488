"""`memory://name`: queues and topics in one process, for tests of programs that use a broker.

All that a broker's queue does is here, too, and exact: leases and their end, delays, attempts, bounds, endings. It is
as real as the others, but that it lives in one process and dies with it.
"""

from __future__ import annotations

import heapq
import itertools
import os
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import Any

from ..errors import ItemTooLarge
from .memory_store import MemoryConnection, MemoryStore
from .memory_topic import MemoryTopic
from .port import Backend, Delivery, Depth, Ended, Message, Settings
from .topic_port import TopicBackend
from .url import Shape, Url

__all__ = ["SHAPE", "MemoryBackend", "group", "queue", "topic"]

SHAPE = Shape("memory://name", hosts=False)

_NEVER = float("inf")


class _Item:
    """An item, wherever it is."""

    __slots__ = ("attempts", "body", "content_type", "dropped", "error", "number", "pid", "until")

    def __init__(self, number: int, message: Message) -> None:
        self.number = number
        self.body = message.body
        self.content_type = message.content_type
        self.attempts = 0
        self.error = ""
        self.pid = 0
        self.until = _NEVER  # of its lease, while it is leased
        self.dropped = False

    def __lt__(self, other: _Item) -> bool:
        return self.number < other.number


class _Store(MemoryStore):
    """A queue: the items, and those who wait. All under one lock."""

    def __init__(self) -> None:
        super().__init__()
        self.max_items = 0
        self.max_bytes = 0
        self.number = 0
        self.fresh: deque[_Item] = deque()
        self.returned: list[_Item] = []  # a heap: the oldest first
        self.delayed: list[tuple[float, _Item]] = []  # a heap by when they are due
        self.leased: set[_Item] = set()
        self.ends: list[
            tuple[float, _Item]
        ] = []  # a heap of when leases are over; some are not leased any more
        self.bytes = 0  # of what waits
        self.buried: dict[int, _Item] = {}  # by numbers of their own, in order
        self.burials = 0
        self.seen: dict[str, None] = {}  # ids
        self.counts = dict.fromkeys(("items_in", "items_out", "bytes_in", "bytes_out", "redelivered"), 0)

    def add(self, message: Message) -> None:
        self.number += 1
        self.fresh.append(_Item(self.number, message))
        self.bytes += len(message.body)
        self.counts["items_in"] += 1
        self.counts["bytes_in"] += len(message.body)

    def waiting(self) -> int:
        return len(self.fresh) + len(self.returned)

    def has_room(self, size: int) -> bool:
        waiting = self.waiting()
        if self.max_items and waiting >= self.max_items:
            return False
        return not (self.max_bytes and waiting and self.bytes + size > self.max_bytes)

    def come_due(self) -> float:
        """Bring back what is due; when the next will be."""
        now = monotonic()
        while self.ends and self.ends[0][0] <= now:
            _, item = heapq.heappop(self.ends)
            if item in self.leased and item.until <= now:
                self.come_back(item, 0.0, True, "the lease was over")
        while self.delayed and self.delayed[0][0] <= now:
            self.ready(heapq.heappop(self.delayed)[1])
        return min(self.ends[0][0] if self.ends else _NEVER, self.delayed[0][0] if self.delayed else _NEVER)

    def ready(self, item: _Item) -> None:
        heapq.heappush(self.returned, item)
        self.bytes += len(item.body)
        self.items.notify()

    def come_back(self, item: _Item, delay: float, counted: bool, error: str) -> None:
        self.leased.discard(item)
        if item.dropped:
            return
        item.attempts += counted
        if counted:
            item.error = error
            self.counts["redelivered"] += 1
        if delay > 0:
            heapq.heappush(self.delayed, (monotonic() + delay, item))
            self.items.notify()  # those that wait are to wait until then
        else:
            self.ready(item)

    def clear(self) -> int:
        count = self.waiting() + len(self.delayed)
        self.fresh.clear()
        self.returned.clear()
        self.delayed.clear()
        self.bytes = 0
        self.room.notify_all()
        self.items.notify_all()
        return count

    def gone(self, item: _Item) -> None:
        self.counts["items_out"] += 1
        self.counts["bytes_out"] += len(item.body)


class MemoryBackend(MemoryConnection[_Store], Backend):
    """A queue in this process."""

    def __init__(self, url: Url) -> None:
        super().__init__("queue", url.name, _Store())

    def declare(self, settings: Settings) -> None:
        self.store.max_items, self.store.max_bytes = settings.maxsize, settings.max_bytes

    # -- items

    def send(self, messages: Sequence[Message], wait: float) -> int:
        store = self.store
        if store.max_bytes:
            largest = max(len(message.body) for message in messages)
            if largest > store.max_bytes:
                raise ItemTooLarge(
                    f"the item takes {largest} bytes and can never fit: max_bytes is {store.max_bytes}; "
                    "raise max_bytes or send smaller items"
                )
        put = 0
        with store.lock:
            if store.ended:
                raise Ended
            if (store.max_items or store.max_bytes) and not self._room(store, messages[0], wait):
                return 0
            for message in messages:
                if put and not store.has_room(len(message.body)):
                    break
                put += 1
                store.add(message)
            store.items.notify(put)
        return put

    def _room(self, store: _Store, message: Message, wait: float) -> bool:
        size = len(message.body)
        until = monotonic() + wait
        while not store.has_room(size):
            left = until - monotonic()
            if left <= 0:
                return False
            store.room.wait(left)
            if store.ended:
                raise Ended
        return True

    def take(self, most: int, wait: float) -> list[Delivery]:
        store = self.store
        with store.lock:
            found = self._next(store, most, wait)
            for item in found:
                store.gone(item)
        return [_delivery(item) for item in found]

    def lease(self, most: int, wait: float, seconds: float | None) -> list[Delivery]:
        store = self.store
        with store.lock:
            found = self._next(store, most, wait)
            until = _NEVER if seconds is None else monotonic() + seconds
            for item in found:
                item.until = until
                item.pid = os.getpid()
                store.leased.add(item)
                if seconds is not None:
                    heapq.heappush(store.ends, (until, item))
            if found and seconds is not None:
                store.items.notify()  # those that wait are to wait until then
        return [_delivery(item) for item in found]

    def peek(self, most: int) -> list[Delivery]:
        store = self.store
        with store.lock:
            store.come_due()
            found = heapq.nsmallest(most, store.returned)
            found += itertools.islice(store.fresh, most - len(found))
            return [_delivery(item) for item in found]

    def _next(self, store: _Store, most: int, wait: float) -> list[_Item]:
        until = monotonic() + wait
        changes = store.changes
        while True:
            due = store.come_due() if store.ends or store.delayed else _NEVER
            if store.returned or store.fresh:
                break
            now = monotonic()
            if now >= until or store.ended:
                return []
            store.items.wait(min(until, due) - now)
            if store.changes != changes:
                return []  # perhaps nobody may take now
        found: list[_Item] = []
        while len(found) < most and (store.returned or store.fresh):
            found.append(heapq.heappop(store.returned) if store.returned else store.fresh.popleft())
            store.bytes -= len(found[-1].body)
        if store.max_items or store.max_bytes:
            store.room.notify(len(found))
        if store.returned or store.fresh:
            store.items.notify()
        return found

    def acknowledge(self, deliveries: Sequence[Delivery]) -> Sequence[Delivery]:
        return self._settle(deliveries, self.store.gone)

    def release(
        self, deliveries: Sequence[Delivery], delay: float, counted: bool, error: str
    ) -> Sequence[Delivery]:
        def come_back(item: _Item) -> None:
            self.store.come_back(item, delay, counted, error)

        return self._settle(deliveries, come_back)

    def bury(self, deliveries: Sequence[Delivery], error: str, more: int) -> Sequence[Delivery]:
        store = self.store

        def bury(item: _Item) -> None:
            item.error = error
            item.attempts += more
            store.gone(item)
            store.burials += 1
            store.buried[store.burials] = item

        return self._settle(deliveries, bury)

    def dead(self, most: int, after: Any) -> list[Delivery]:
        store = self.store
        with store.lock:
            later = ((number, item) for number, item in store.buried.items() if number > (after or 0))
            return [
                Delivery(item.body, item.content_type, number, item.attempts, item.error, item.pid)
                for number, item in itertools.islice(later, most)
            ]

    def forget(self, deliveries: Sequence[Delivery]) -> None:
        store = self.store
        with store.lock:
            for delivery in deliveries:
                store.buried.pop(delivery.tag, None)

    def _settle(self, deliveries: Sequence[Delivery], how: Callable[[_Item], None]) -> list[Delivery]:
        store = self.store
        lost: list[Delivery] = []
        with store.lock:
            store.come_due()
            for delivery in deliveries:
                item, until = delivery.tag
                if item in store.leased and item.until == until:
                    store.leased.discard(item)
                    how(item)
                else:
                    lost.append(delivery)
            if store.ended:  # perhaps that was the last that could come back
                store.items.notify_all()
        return lost

    def depth(self) -> Depth:
        store = self.store
        with store.lock:
            store.come_due()
            return Depth(store.waiting(), len(store.leased), len(store.delayed))

    def is_full(self, settings: Settings) -> bool:
        with self.store.lock:
            self.store.come_due()
            return not self.store.has_room(1)

    def clear(self) -> int:
        store = self.store
        with store.lock:
            store.come_due()
            return store.clear()

    def purge(self) -> None:
        store = self.store
        with store.lock:
            store.clear()
            for item in store.leased:
                item.dropped = True

    def figures(self) -> Mapping[str, int]:
        store = self.store
        with store.lock:
            returned = len(store.returned) + len(store.delayed)
            return {**store.counts, "returned": returned, "dead": len(store.buried)}


def _delivery(item: _Item) -> Delivery:
    return Delivery(item.body, item.content_type, (item, item.until), item.attempts, item.error, item.pid)


class _MemoryGroup(MemoryBackend):
    """A queue beside the topic, into which whoever publishes puts each event; the record is the topic's."""

    def __init__(self, url: Url) -> None:
        super().__init__(url)
        self._topic = MemoryTopic(url)
        self._group: str = url.options["group"]

    def open(self, wait: float) -> None:
        self._topic.open(wait)

    def read_record(self) -> tuple[bytes, Any] | None:
        return self._topic.read_record()

    def write_record(self, record: bytes, version: Any) -> bool:
        return self._topic.write_record(record, version)

    def declare(self, settings: Settings) -> None:
        self.store = self._topic.join_group(self._group, self.store)

    def destroy(self) -> None:
        if not self._topic.leave_group(self._group):
            raise FileNotFoundError(f"memory://{self._name} has no group {self._group!r}")


def queue(url: Url) -> Backend:
    """The queue at `url`."""
    return MemoryBackend(url)


def topic(url: Url) -> TopicBackend:
    """The topic at `url`."""
    return MemoryTopic(url)


def group(url: Url) -> Backend:
    """What a group gets of the topic at `url`."""
    return _MemoryGroup(url)
