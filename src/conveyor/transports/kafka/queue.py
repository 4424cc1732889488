"""A queue on Kafka."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Mapping, Sequence
from time import monotonic, time
from typing import Any, cast

from ...errors import NotSupported
from ..port import Backend, ConnectionLost, Delivery, Depth, Message, Settings
from .connected import KafkaConnection
from .glance import Glance
from .group import Group
from .marks import Marks
from .sender import CONTENT_TYPE
from .settings import group_of
from .window import Item

__all__ = ["KafkaQueue"]

# So long an item is held back here. What should wait longer has no place at the broker.
_LONGEST_DELAY = 0.2
# Headers of what was set aside.
_WHY, _ATTEMPTS = "error", "attempts"
# Whether what waits was dropped is looked at so often by who takes items.
_LOOK_SECONDS = 0.25


class KafkaQueue(KafkaConnection, Backend):
    """A queue: a topic, and a group of consumers that commits more than offsets; see `marks`."""

    _looked_at = 0.0

    def declare(self, settings: Settings) -> None:
        super().declare(settings)
        group = settings.extra.get("group")
        if group != group_of(self._url):
            raise ValueError(
                f"{self._url}: group is {group_of(self._url)!r}, and this queue has {group!r}; what several "
                "groups should get are events of a topic (kind=topic)"
            )

    @property
    def _group(self) -> Group:
        return self._client.joined_group(self._extra["mark"], self._extra["ours"])

    # -- putting

    def send(self, messages: Sequence[Message], wait: float) -> int:
        return self._client.sender.send(messages, wait, False)

    # -- taking

    def take(self, most: int, wait: float) -> list[Delivery]:
        found = self._some(most, wait, False)
        if found:
            # The broker may have read it, and its answer is lost: they are handed out, and the commit is tried again.
            with contextlib.suppress(ConnectionLost):
                self._group.flush()
        return found

    def lease(self, most: int, wait: float, seconds: float | None) -> list[Delivery]:
        found = self._some(most, wait, True)
        if found:
            # Before anybody works on them: if this process dies of one of them, that was an attempt.
            try:
                self._group.flush()
            except BaseException:
                self._group.undo_leases(_items(found))
                raise
        return found

    def _some(self, most: int, wait: float, lease: bool) -> list[Delivery]:
        client = self._client
        if monotonic() - self._looked_at > _LOOK_SECONDS:
            self._looked_at = monotonic()
            if client.log.read() is None:
                raise self._removed()
            if client.log.is_dropped:
                self.purge()
                return []
        return self._group.take(most, wait, lease, wait < self.capabilities.slice_seconds)

    def peek(self, most: int) -> list[Delivery]:
        return self._glance(most, each=False)

    def oldest(self) -> float | None:
        first = [item.tag for item in self._glance(1, each=True)]
        if not first:
            return 0.0
        return None if min(first) < 0 else max(time() - min(first) / 1000, 0.0)

    def _glance(self, most: int, each: bool) -> list[Delivery]:
        """What waits, at most so many, or so many of each partition; see `Glance.read`."""
        client = self._client
        ends = client.ends() or {}
        partitions = range(client.partitions)
        bounds = client.bounds(self._url.name, partitions)
        committed = client.committed(partitions)
        found: list[Delivery] = []
        with Glance(client, self._url.name) as glance:
            for partition in partitions:
                low, marks = self._marks(*committed[partition], bounds[partition][0])
                first = max(low, bounds[partition][0])
                end = min(bounds[partition][1], ends.get(partition, bounds[partition][1]))
                left = most if each else most - len(found)
                found += glance.read(partition, first, end, marks, left)
        return found

    # -- settling

    def acknowledge(self, deliveries: Sequence[Delivery]) -> Sequence[Delivery]:
        return self._group.settle(_items(deliveries))

    def release(
        self, deliveries: Sequence[Delivery], delay: float, counted: bool, error: str
    ) -> Sequence[Delivery]:
        if delay > _LONGEST_DELAY:
            raise NotSupported(
                f"{self._url}: Kafka cannot keep an item back for {delay:g} s; release it without a delay, or use "
                "redis:// or sqlite://"
            )
        items = _items(deliveries)
        if delay > 0:
            timer = threading.Timer(delay, _put_back, (self._group, items, counted, error))
            timer.daemon = True
            timer.start()
            return [item for item in items if not item.window.is_ours]
        return self._group.put_back(items, counted, error)

    def bury(self, deliveries: Sequence[Delivery], error: str, more: int) -> Sequence[Delivery]:
        client = self._client
        items = _items(deliveries)
        mine = [item for item in items if item.window.is_ours]
        if mine and not client.partitions_of(self._dead):
            client.make(self._dead, 1, self._config())
        for item in mine:
            headers = [
                (CONTENT_TYPE, item.content_type),
                (_WHY, error[:10_000]),
                (_ATTEMPTS, str(item.attempts + more)),
            ]
            place = f"{self._dead}:{item.window.partition}:{item.offset}"
            client.put_one(self._dead, 0, item.body, headers, place)
        return self._group.settle(items)

    def dead(self, most: int, after: Any) -> list[Delivery]:
        client = self._client
        if not client.partitions_of(self._dead):
            return []
        ((first, end),) = client.bounds(self._dead, (0,)).values()
        if after is not None:
            first = max(first, after + 1)
        found: list[Delivery] = []
        with (
            Glance(client, self._dead) as glance,
            contextlib.closing(glance.messages(0, first, end)) as messages,
        ):
            for message in itertools.islice(messages, most):
                headers: dict[str, bytes] = dict(message.headers() or ())
                kind, why = (
                    headers.get(name, b"").decode("utf-8", "replace") for name in (CONTENT_TYPE, _WHY)
                )
                attempts = int(headers.get(_ATTEMPTS, b"1"))
                found.append(Delivery(message.value() or b"", kind, message.offset(), attempts, why))
        return found

    def forget(self, deliveries: Sequence[Delivery]) -> None:
        # The oldest ones in a row: see `Capabilities.forgets_any`.
        self._client.delete_before(self._dead, {0: deliveries[-1].tag + 1}, wait=True)

    # -- state

    def depth(self) -> Depth:
        client = self._client
        ends = client.ends() or {}
        partitions = range(client.partitions)
        bounds = client.bounds(self._url.name, partitions)
        committed = client.committed(partitions)
        ready = leased = 0
        for partition in partitions:
            first, end = bounds[partition]
            low, marks = self._marks(*committed[partition], first)
            more = marks.counts(max(low, first), min(end, ends.get(partition, end)))
            ready += more[0]
            leased += more[1]
        return Depth(ready, leased)

    def _marks(self, low: int, metadata: str, first: int) -> tuple[int, Marks]:
        """From where on the group has not settled all, and what it knows of what follows.

        Args:
            low, metadata: what it has committed.
            first: the first that is there.
        """
        marks = Marks.load(metadata, self._extra["mark"], low) if low >= 0 else None
        return (first, Marks(set(), {}, {})) if marks is None else (low, marks)

    def purge(self) -> None:
        client = self._client
        bounds = client.bounds(self._url.name, range(client.partitions))
        client.delete_before(self._url.name, {key: end for key, (_, end) in bounds.items()}, wait=True)
        if client.group is not None:
            client.group.drop_waiting()

    def figures(self) -> Mapping[str, int]:
        client = self._client
        if not client.partitions_of(self._dead):
            return {"dead": 0}
        ((first, end),) = client.bounds(self._dead, (0,)).values()
        return {"dead": end - first}


def _items(deliveries: Sequence[Delivery]) -> Sequence[Item]:
    """What `take` and `lease` returned."""
    return cast("Sequence[Item]", deliveries)


def _put_back(group: Group, items: Sequence[Item], counted: bool, error: str) -> None:
    # Here they wait in any case; the broker hears of it with the next commit.
    with contextlib.suppress(ConnectionLost, OSError):
        group.put_back(items, counted, error)
