"""A queue on RabbitMQ."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from ...errors import ItemTooLarge, NotSupported
from ..port import Backend, ConnectionLost, Delivery, Depth, Ended, Message, Settings
from ..url import Url
from .channel import Channel, Got
from .connected import RabbitConnection, new_name
from .wire import Wire

__all__ = ["RabbitQueue"]

# What is put goes by an exchange: who is bound to it no more is at its end.
_EXCHANGE = "conveyor"
_MOST_SENT, _MOST_BYTES_SENT = 2000, 2**23
_MOST_TAKEN = 1000
# If no other message has come for so long after one, there is none.
_QUIET_SECONDS = 0.02
_LONGEST = 128 * 2**20
# So long an item is held back here. What should wait longer has no place at the server.
_LONGEST_DELAY = 0.2
_COUNT = "x-delivery-count"
# With a limit, what is given back goes to the front; without one, to the back.
_ARGUMENTS = {"x-queue-type": "quorum", "x-delivery-limit": 2**31 - 1}

_BasicProperties: Any = import_module("pika").BasicProperties


class RabbitQueue(RabbitConnection, Backend):
    """A queue: a quorum queue, and an exchange that leads to it until its end."""

    def __init__(self, url: Url) -> None:
        super().__init__(url)
        self._dead_queue = f"conveyor.dead.{url.name}"

    async def _make(self, channel: Channel) -> None:
        await channel.ask("exchange_declare", _EXCHANGE, "direct", durable=True)
        await channel.ask("queue_declare", self._name, durable=True, arguments=_ARGUMENTS)
        await channel.ask("queue_bind", self._name, _EXCHANGE, self._name)

    async def _end(self, channel: Channel) -> None:
        await channel.ask("queue_unbind", self._name, _EXCHANGE, self._name)

    async def _unmake(self, channel: Channel) -> None:
        await channel.ask("queue_delete", self._name)
        await channel.ask("queue_delete", self._dead_queue)

    def declare(self, settings: Settings) -> None:
        pass  # it was made before its record

    # -- putting

    def send(self, messages: Sequence[Message], wait: float) -> int:
        largest = max(len(message.body) for message in messages)
        if largest > _LONGEST:
            raise ItemTooLarge(
                f"the item takes {largest} bytes and can never be put: at most {_LONGEST} can; send smaller items"
            )
        some: list[tuple[str, bytes, Any]] = []
        size = 0
        for message in messages[:_MOST_SENT]:
            some.append((self._name, message.body, self._properties(message)))
            size += len(message.body)
            if size > _MOST_BYTES_SENT:
                break

        async def send(wire: Wire) -> tuple[int, bool]:
            count, returned = await (await wire.kept("put")).publish(_EXCHANGE, some)
            if not count and not returned:
                await asyncio.sleep(min(wait, 0.05))  # the server cannot take it now
            return count, returned

        count, returned = self._do(send, wait)
        if returned and not count:
            if self.read_record() is None:
                raise self._removed()
            raise Ended
        return count

    # -- taking

    def take(self, most: int, wait: float) -> list[Delivery]:
        deliveries = self.lease(most, wait, None)
        if deliveries:
            # The server may have read this, and its answer is lost: they are handed out, and may come again.
            with contextlib.suppress(ConnectionLost):
                self.acknowledge(deliveries)
        return deliveries

    def lease(self, most: int, wait: float, seconds: float | None) -> list[Delivery]:
        async def lease(wire: Wire) -> list[Delivery]:
            channel = await wire.kept("lease")
            found: list[Got] = []
            try:
                got = await channel.get(self._name)
                if got is not None:
                    found.append(got)
                if most > 1 if found else wait > 0:
                    await self._let_come(channel, most, wait, found)
            except BaseException:
                if channel.closed is None:
                    channel.settle([got.tag for got in found], False)
                raise
            return [self._delivery(wire, got) for got in found]

        return self._do(lease, wait)

    async def _let_come(self, channel: Channel, most: int, wait: float, found: list[Got]) -> None:
        """Let more messages come, as long as one follows the other; wait for the first if there is none yet."""
        came = asyncio.Event()

        def on_message(got: Got) -> None:
            found.append(got)
            came.set()

        consumer = await channel.consume(self._name, min(most - len(found), _MOST_TAKEN), on_message)
        limit = min(most, len(found) + _MOST_TAKEN)
        try:
            while len(found) < limit:
                came.clear()
                await asyncio.wait_for(came.wait(), _QUIET_SECONDS if found else wait)
        except TimeoutError:
            pass
        finally:
            await channel.cancel(consumer)

    def _delivery(self, wire: Wire, got: Got) -> Delivery:
        properties = got.properties
        headers: dict[str, Any] = properties.headers or {}
        attempts: Any = headers.get(_COUNT, 0)
        return Delivery(got.body, properties.content_type or "", (wire, got.tag), int(attempts))

    # -- settling

    def acknowledge(self, deliveries: Sequence[Delivery]) -> Sequence[Delivery]:
        async def acknowledge(wire: Wire) -> None:
            channel = await wire.kept("lease")
            channel.settle([each.tag[1] for each in mine], True)
            await channel.flush()  # or a process that ends now may have said nothing

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
            if delay > 0:
                asyncio.get_running_loop().call_later(delay, channel.return_late, tags)
                return
            channel.settle(tags, False)
            await channel.flush()

        mine, lost = self._sorted(deliveries)
        if mine:
            self._do(release)
        return lost

    def bury(self, deliveries: Sequence[Delivery], error: str) -> Sequence[Delivery]:
        async def bury(wire: Wire) -> None:
            channel = await wire.kept("put")
            await channel.ask("queue_declare", self._dead_queue, durable=True)
            letters = [(self._dead_queue, each.body, self._letter(each, error)) for each in mine]
            await channel.publish("", letters)
            leased = await wire.kept("lease")
            leased.settle([each.tag[1] for each in mine], True)
            await leased.flush()

        mine, lost = self._sorted(deliveries)
        if mine:
            self._do(bury)
        return lost

    def _letter(self, delivery: Delivery, error: str) -> Any:
        return _BasicProperties(
            content_type=delivery.content_type,
            delivery_mode=2,
            message_id=new_name(),
            headers={"error": error[:10_000], "attempts": delivery.attempts},
        )

    def _sorted(self, deliveries: Sequence[Delivery]) -> tuple[list[Delivery], list[Delivery]]:
        """Those that are ours, and those that are lost: they came by a connection that is no more."""
        mine = [each for each in deliveries if each.tag[0] is self._wire]
        return mine, [each for each in deliveries if each.tag[0] is not self._wire]

    # -- state

    def depth(self) -> Depth:
        ready = self._do(lambda wire: self._count(wire, self._name))
        if ready is None:
            raise self._removed()
        return Depth(ready, None)

    def purge(self) -> None:
        async def purge(wire: Wire) -> None:
            await (await wire.kept("look")).ask("queue_purge", self._name)

        self._do(purge)

    def figures(self) -> Mapping[str, int]:
        return {"dead": self._do(lambda wire: self._count(wire, self._dead_queue)) or 0}
