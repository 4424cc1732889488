"""What queues and topics on RabbitMQ have in common: the connection, and the control record."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import random
from abc import abstractmethod
from collections.abc import AsyncGenerator, Sequence
from importlib import import_module
from time import monotonic
from typing import Any, TypeVar

from ...errors import NotSupported, WrongKind
from ..answer import Answer
from ..loop_connection import LoopConnection
from ..port import Capabilities, ConnectionLost, Message
from ..url import Url
from .channel import Channel, ChannelClosed, Outgoing
from .frames import plain_properties, properties_of
from .quiet import THREAD, silence
from .wire import Wire

__all__ = ["RabbitConnection", "new_name"]

T = TypeVar("T")

_NOT_THERE, _IN_USE, _DIFFERENT = 404, 405, 406
# For so long the record may be in the hands of somebody who reads or writes it.
_RECORD_SECONDS = 20.0

_BasicProperties: Any = import_module("pika").BasicProperties

silence()


class RabbitConnection(LoopConnection[Wire]):
    """A queue or topic on a server."""

    capabilities = Capabilities(
        ends_leases=False, waits_at_end=False, counts_deliveries=True, lists_groups=False
    )

    thread_name = THREAD
    answer_seconds = 20.0
    refusals = (ChannelClosed,)

    def __init__(self, url: Url) -> None:
        if "/" in url.path:
            raise ValueError(f"{url}: '/' in the name of a virtual host is written %2F")
        super().__init__(url)
        self._name = url.name
        self._record_queue = f"conveyor.record.{url.name}"
        self._lock_queue = f"conveyor.lock.{url.name}"

    def _new_wire(self) -> Wire:
        return Wire(self._url)

    def _port(self) -> int:
        return 5671 if self._url.scheme == "amqps" else 5672

    def _publish(self, exchange: str, messages: Sequence[Outgoing], mandatory: bool) -> tuple[int, bool]:
        """See `Channel.publish`; in one go where the channel is open already."""
        _, wire = self._connected()
        channel = wire.opened("put") or self._do(lambda wire: wire.kept("put"))

        def publish(answer: Answer[tuple[int, bool]]) -> None:
            def then(outcome: tuple[int, bool] | None, error: Exception | None) -> None:
                if not answer.claim():
                    return
                if outcome is None:
                    answer.fail(error or ConnectionLost("the channel is closed"))
                else:
                    answer.give(outcome)

            channel.publish_then(exchange, messages, mandatory, then)

        return self._call(publish)

    def _meaning(self, error: ChannelClosed) -> Exception:
        if error.code == _NOT_THERE:
            return self._removed()
        if error.code == 403:
            return PermissionError(errno.EACCES, f"{self._url}: {error}")
        if error.code == _DIFFERENT:
            return WrongKind(f"{self._url}: something else has that name: {error}")
        return ConnectionLost(str(error))

    def _outgoing(self, key: str, message: Message) -> Outgoing:
        return Outgoing(key, message.id, plain_properties(message.content_type, message.id), message.body)

    # -- the control record: the one message of a queue that keeps one

    def read_record(self) -> tuple[bytes, Any] | None:
        async def read(wire: Wire) -> tuple[bytes, Any] | None:
            channel = await wire.channel()
            try:
                found = await self._take_record(channel)
                if found is None:
                    return None
                channel.settle([found[2]], False)
                return found[0], found[1]
            finally:
                channel.close()

        return self._do(read)

    async def _take_record(self, channel: Channel) -> tuple[bytes, int, int] | None:
        """The record, its version, and its tag on the channel, which has it until it is settled."""
        until = monotonic() + _RECORD_SECONDS
        pause = 0.0005
        while True:
            try:
                got = await channel.get(self._record_queue)
            except ChannelClosed as error:
                if error.code == _NOT_THERE:
                    return None
                raise
            if got is not None:
                return got.body, int(got.properties.message_id), got.tag
            if monotonic() > until:
                raise ConnectionLost("the control record is in the hands of somebody who does not answer")
            await asyncio.sleep(pause * random.random())
            pause = min(2 * pause, 0.02)

    @contextlib.asynccontextmanager
    async def _locked(self, wire: Wire) -> AsyncGenerator[None]:
        """Nobody else changes the record meanwhile. The server ends the lock with the connection."""
        async with wire.writing:
            pause = 0.001
            until = monotonic() + _RECORD_SECONDS
            while True:
                channel = await wire.channel()
                try:
                    await channel.ask("queue_declare", self._lock_queue, exclusive=True)
                    break
                except ChannelClosed as error:
                    if error.code != _IN_USE or monotonic() > until:
                        raise
                await asyncio.sleep(pause * random.random())
                pause = min(2 * pause, 0.05)
            try:
                yield
            finally:
                try:
                    await channel.ask("queue_delete", self._lock_queue)
                finally:
                    channel.close()

    def write_record(self, record: bytes, version: Any) -> bool:
        parsed = json.loads(record)
        if version is None:
            self._check(parsed["settings"])

        async def write(wire: Wire) -> bool:
            async with self._locked(wire):
                channel = await wire.channel()
                try:
                    await channel.confirmed()
                    found = await self._take_record(channel)
                    if (None if found is None else found[1]) != version:
                        return False  # what was taken goes back with the channel
                    if channel.closed is not None:  # because there was none
                        channel = await wire.channel()
                        await channel.confirmed()
                    if found is None:
                        await self._make(channel)
                        await channel.ask(
                            "queue_declare",
                            self._record_queue,
                            durable=True,
                            arguments={"x-max-length": 1, "x-overflow": "drop-head"},
                        )
                    name = str((version or 0) + 1)
                    properties = properties_of(_BasicProperties(delivery_mode=2, message_id=name))
                    await channel.publish("", [Outgoing(self._record_queue, name, properties, record)])
                    if found is not None:
                        channel.settle([found[2]], True)
                        await channel.flush()
                    if parsed["ended"]:
                        await self._end(channel)
                    return True
                finally:
                    channel.close()

        return self._do(write, _RECORD_SECONDS)

    def destroy(self) -> None:
        async def destroy(wire: Wire) -> bool:
            async with self._locked(wire):
                channel = await wire.channel()
                try:
                    if await self._take_record(channel) is None:
                        return False
                    await self._unmake(channel)
                    await channel.ask("queue_delete", self._record_queue)
                    return True
                finally:
                    channel.close()

        if not self._do(destroy, _RECORD_SECONDS):
            raise FileNotFoundError(f"{self._url} does not exist")

    def _check(self, settings: dict[str, Any]) -> None:
        for name in ("maxsize", "max_bytes", "keep"):
            if settings[name]:
                raise NotSupported(
                    f"{self._url}: RabbitMQ has no exact {name}; leave it out, or use redis:// or sqlite://"
                )

    @abstractmethod
    async def _make(self, channel: Channel) -> None:
        """Make what there is beside the record."""

    @abstractmethod
    async def _end(self, channel: Channel) -> None:
        """See to it that nothing more can be put."""

    @abstractmethod
    async def _unmake(self, channel: Channel) -> None:
        """Remove what there is beside the record."""

    async def _count(self, wire: Wire, queue: str) -> tuple[int, int] | None:
        """How many messages wait in a queue, and how many consumers it has; None: there is none of that name."""
        # The server closes the channel on which a queue was asked for that is not there: others may be asking at it.
        channel = await wire.kept(f"look {queue}")
        try:
            frame = await channel.ask("queue_declare", queue, passive=True)
        except ChannelClosed as error:
            if error.code == _NOT_THERE:
                return None
            raise
        return int(frame.method.message_count), int(frame.method.consumer_count)


def new_name() -> str:
    """One that nobody else has."""
    return os.urandom(8).hex()
