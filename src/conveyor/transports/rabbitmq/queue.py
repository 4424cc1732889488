"""A queue on RabbitMQ."""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections.abc import Mapping, Sequence
from functools import partial
from importlib import import_module
from time import monotonic
from typing import Any, NoReturn

from ...errors import ItemTooLarge, NotSupported
from ..answer import Answer
from ..link import pause
from ..port import Backend, ConnectionLost, Delivery, Depth, Ended, Message, Settings
from ..url import Url
from .channel import Channel, Got, Outgoing
from .connected import RabbitConnection, new_name
from .frames import properties_of
from .handed_out import HandedOut
from .inbox import Inbox, gather
from .lease_marker import LeaseMarker, marker_queue
from .standing import StandingConsumers
from .wire import Wire

__all__ = ["ARGUMENTS", "RabbitQueue"]

# What is put goes by an exchange: who is bound to it no more is at its end.
_EXCHANGE = "conveyor"
_MOST_SENT, _MOST_BYTES_SENT = 2000, 2**23
_LONGEST = 128 * 2**20
# So long is waited at the end for the server to have read what goes back.
_CLOSE_SECONDS = 2.0
# Nobody else has an item if for so long none waited and nobody had a lease: what a killed one had is back by then.
_QUIET_SECONDS = 0.5
# So long an item is held back here. What should wait longer has no place at the server.
_LONGEST_DELAY = 0.2
_COUNT = "x-delivery-count"
# With a limit, what is given back goes to the front; without one, to the back.
ARGUMENTS = {"x-queue-type": "quorum", "x-delivery-limit": 2**31 - 1}

_BasicProperties: Any = import_module("pika").BasicProperties

# Those of this process.
_queues: weakref.WeakSet[RabbitQueue] = weakref.WeakSet()


class RabbitQueue(RabbitConnection, Backend):
    """A queue: a quorum queue, and an exchange that leads to it until its end."""

    def __init__(self, url: Url) -> None:
        super().__init__(url)
        self._dead_queue = f"conveyor.dead.{url.name}"
        self._place = (url.scheme, url.hosts, url.path, url.name)
        self._inbox: Inbox | None = None
        self._marker: LeaseMarker | None = None
        self._standing = StandingConsumers(self._name)
        # When it was looked last whether others have leases, and since when nobody had.
        self._looked_at = self._quiet_since = 0.0
        _queues.add(self)

    async def _opened(self, wire: Wire) -> None:
        self._inbox = Inbox(wire, self._name)
        self._marker = LeaseMarker(wire, self._name)
        self._standing = StandingConsumers(self._name)

    def close(self) -> None:
        inbox, self._inbox = self._inbox, None
        thread = self._thread
        if thread is not None and inbox is not None and (inbox.consumes or inbox):
            # By the end of the connection it would be back a while after this has returned.
            with contextlib.suppress(Exception):
                thread.run(inbox.give_back(True), _CLOSE_SECONDS)
        super().close()

    def abandon(self) -> None:
        self._inbox = self._marker = None
        super().abandon()

    async def _make(self, channel: Channel) -> None:
        await channel.ask("exchange_declare", _EXCHANGE, "direct", durable=True)
        await channel.ask("queue_declare", self._name, durable=True, arguments=ARGUMENTS)
        await channel.ask("queue_bind", self._name, _EXCHANGE, self._name)

    async def _end(self, channel: Channel) -> None:
        await channel.ask("queue_unbind", self._name, _EXCHANGE, self._name)

    async def _unmake(self, channel: Channel) -> None:
        await channel.ask("queue_delete", self._name)
        await channel.ask("queue_delete", self._dead_queue)
        await channel.ask("queue_delete", marker_queue(self._name))

    def declare(self, settings: Settings) -> None:
        pass  # it was made before its record

    # -- putting

    def send(self, messages: Sequence[Message], wait: float) -> int:
        largest = max(len(message.body) for message in messages)
        if largest > _LONGEST:
            raise ItemTooLarge(
                f"the item takes {largest} bytes and can never be put: at most {_LONGEST} can; send smaller items"
            )
        some: list[Outgoing] = []
        size = 0
        for message in messages[:_MOST_SENT]:
            some.append(self._outgoing(self._name, message))
            size += len(message.body)
            if size > _MOST_BYTES_SENT:
                break

        count, returned = self._publish(_EXCHANGE, some, mandatory=True)
        if returned and not count:
            if self.read_record() is None:
                raise self._removed()
            raise Ended
        if not count:
            pause(min(wait, 0.05))  # the server cannot take it now
        return count

    # -- taking

    def take(self, most: int, wait: float) -> list[Delivery]:
        thread, wire, inbox = self._thread, self._wire, self._inbox
        if thread is None or wire is None or inbox is None:
            raise ConnectionLost(f"{self._url} is closed")
        ready = inbox.take_ready(most)
        if ready is not None:
            return [self._delivery(wire, got) for got in ready]

        def take(answer: Answer[list[Got]]) -> None:
            inbox.take(most, wait, answer)

        def undo(found: list[Got]) -> None:
            thread.post(lambda: inbox.put_back(found))

        found = self._call(take, wait, undo)
        return [self._delivery(wire, got) for got in found]

    def lease(self, most: int, wait: float, seconds: float | None) -> list[Delivery]:
        async def lease(wire: Wire) -> list[Delivery]:
            marker = self._marker
            assert marker is not None
            await marker.prepare()
            channel = await wire.kept("lease")
            found: list[Got] = []
            try:
                found += await self._found(channel, most, wait)
                if found:
                    await marker.leased(len(found))
            except BaseException:
                if channel.closed is None:
                    channel.settle([got.tag for got in found], False)
                raise
            return [self._delivery(wire, got) for got in found]

        return self._do(lease, wait)

    async def _found(self, channel: Channel, most: int, wait: float) -> list[Got]:
        standing = self._standing
        if standing and wait > 0:
            return await standing.wait(channel, most, wait)
        found = await standing.recall(channel)
        try:
            if len(found) > most:  # it was for a call of another thread
                channel.settle([got.tag for got in found[most:]], False)
                del found[most:]
            got = await channel.get(self._name) if len(found) < most else None
            if got is not None:
                found.append(got)
                if most > 1:
                    await gather(channel, self._name, most, found)
        except BaseException:
            if channel.closed is None:
                channel.settle([got.tag for got in found], False)
            raise
        return found or (await standing.wait(channel, most, wait) if wait > 0 else found)

    def rest(self) -> None:
        thread = self._thread
        if thread is not None and self._standing:
            thread.post(self._standing.rest)

    def _delivery(self, wire: Wire, got: Got) -> Delivery:
        properties = got.properties
        headers: dict[str, Any] = properties.headers or {}
        attempts: Any = headers.get(_COUNT, 0)
        return Delivery(got.body, properties.content_type or "", (wire, got.tag), int(attempts))

    # -- settling

    def peek(self, most: int) -> NoReturn:
        raise NotSupported(
            f"{self._url}: RabbitMQ shows an item only by handing it out, which counts a delivery of it and keeps "
            "it from others; look at it on the server's management page, or lease() it and give it back by release()"
        )

    def acknowledge(self, deliveries: Sequence[Delivery]) -> Sequence[Delivery]:
        async def acknowledge(wire: Wire) -> None:
            channel = await wire.kept("lease")
            channel.settle([each.tag[1] for each in mine], True)
            await channel.flush()  # or a process that ends now may have said nothing
            self._settled(mine)

        mine, lost = self._sorted(deliveries)
        if mine:
            self._do(acknowledge)
        return lost

    def release(
        self, deliveries: Sequence[Delivery], delay: float, counted: bool, error: str
    ) -> Sequence[Delivery]:
        if delay > _LONGEST_DELAY:
            raise NotSupported(
                f"{self._url}: RabbitMQ cannot keep an item back for {delay:g} s; release it without a delay, or use "
                "redis:// or sqlite://"
            )

        async def release(wire: Wire) -> None:
            channel = await wire.kept("lease")
            tags = [each.tag[1] for each in mine]
            self._settled(mine)
            if delay > 0:
                asyncio.get_running_loop().call_later(delay, channel.return_late, tags)
                return
            channel.settle(tags, False)
            await channel.flush()

        mine, lost = self._sorted(deliveries)
        if mine:
            self._do(release)
        return lost

    def bury(self, deliveries: Sequence[Delivery], error: str, more: int) -> Sequence[Delivery]:
        async def bury(wire: Wire) -> None:
            channel = await wire.kept("put")
            await channel.ask("queue_declare", self._dead_queue, durable=True)
            letters = [self._letter(each, error, more) for each in mine]
            await channel.publish("", letters)
            leased = await wire.kept("lease")
            leased.settle([each.tag[1] for each in mine], True)
            await leased.flush()
            self._settled(mine)

        mine, lost = self._sorted(deliveries)
        if mine:
            self._do(bury)
        return lost

    def _settled(self, deliveries: Sequence[Delivery]) -> None:
        if self._marker is not None:
            self._marker.settled(len(deliveries))

    def aside(self) -> HandedOut:
        return HandedOut(self._do, self._dead_queue)

    def _letter(self, delivery: Delivery, error: str, more: int) -> Outgoing:
        name = new_name()
        properties = _BasicProperties(
            content_type=delivery.content_type,
            delivery_mode=2,
            message_id=name,
            headers={"error": error[:10_000], "attempts": delivery.attempts + more},
        )
        return Outgoing(self._dead_queue, name, properties_of(properties), delivery.body)

    def _sorted(self, deliveries: Sequence[Delivery]) -> tuple[list[Delivery], list[Delivery]]:
        """Those that are ours, and those that are lost: they came by a connection that is no more."""
        mine = [each for each in deliveries if each.tag[0] is self._wire]
        return mine, [each for each in deliveries if each.tag[0] is not self._wire]

    # -- state

    def depth(self) -> Depth:
        inbox = self._inbox
        if inbox is None:
            raise ConnectionLost(f"{self._url} is closed")
        counted, here = self._do(lambda wire: inbox.beside(lambda: self._count(wire, self._name)))
        if counted is None:
            raise self._removed()
        ready, consumers = counted
        elsewhere = self._leased_elsewhere(ready + here)
        inboxes = self._inboxes()
        here += sum(len(other) for other in inboxes if other is not inbox)
        return Depth(ready + here, None, 0, consumers > self._stand_here(inboxes), elsewhere)

    def _stand_here(self, inboxes: Sequence[Inbox]) -> int:
        """How many consumers of this process stand at the server between two calls."""
        return sum(other.consumes for other in inboxes) + sum(len(other._standing) for other in self._same())

    def _leased_elsewhere(self, ready: int) -> bool:
        """Whether other processes have leases, or had some a moment ago: what a dead one had comes back by then."""
        counted = self._do(lambda wire: self._count(wire, marker_queue(self._name)))
        now = monotonic()
        others = 0
        if counted is not None:
            markers = [other._marker for other in self._same()]
            others = counted[1] - sum(marker.stands for marker in markers if marker is not None)
        if ready or others > 0 or now - self._looked_at > _QUIET_SECONDS:
            self._quiet_since = now
        self._looked_at = now
        return counted is not None and now - self._quiet_since < _QUIET_SECONDS

    def _same(self) -> list[RabbitQueue]:
        """The handles of this queue in this process."""
        return [other for other in list(_queues) if other._place == self._place]

    def _inboxes(self) -> list[Inbox]:
        found = [other._inbox for other in self._same()]
        return [inbox for inbox in found if inbox is not None]

    def purge(self) -> None:
        self.clear()

    def clear(self) -> int:
        async def purge(wire: Wire) -> int:
            frame = await (await wire.kept("look")).ask("queue_purge", self._name)
            return int(frame.method.message_count)

        count = self._do(purge)
        for other in self._same():
            inbox = other._inbox
            if inbox is not None:
                count += other._do(partial(_drop, inbox))
        return count

    def figures(self) -> Mapping[str, int]:
        counted = self._do(lambda wire: self._count(wire, self._dead_queue))
        return {"dead": 0 if counted is None else counted[0]}


async def _drop(inbox: Inbox, _: Wire) -> int:
    return await inbox.drop()
