"""A channel of pika's, for coroutines."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, NamedTuple

from ..port import ConnectionLost

__all__ = ["Channel", "ChannelClosed", "Got"]

_pika: Any = import_module("pika")
_spec: Any = import_module("pika.spec")


class ChannelClosed(Exception):
    """The server has closed the channel: what was asked of it is not possible."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code} {text}")
        self.code = code


class Got(NamedTuple):
    """A message."""

    tag: int
    redelivered: bool
    key: str
    properties: Any
    body: bytes


class Channel:
    """One channel; what waits for it ends when it is closed."""

    def __init__(self, raw: Any) -> None:
        self.raw = raw
        self.lock = asyncio.Lock()
        self.closed: Exception | None = None
        self._waiting: set[asyncio.Future[Any]] = set()
        self._published = 0
        self._confirms: dict[int, asyncio.Future[bool]] = {}
        self._returned: set[str] = set()
        self._getting: asyncio.Future[Got | None] | None = None
        raw.add_on_close_callback(self._on_close)
        raw.add_callback(self._on_empty, [_spec.Basic.GetEmpty], one_shot=False)

    def _on_close(self, _: Any, reason: Any) -> None:
        code = getattr(reason, "reply_code", 0)
        closed_by_server = isinstance(reason, _pika.exceptions.ChannelClosedByBroker)
        self.closed = ChannelClosed(code, str(reason)) if closed_by_server else ConnectionLost(repr(reason))
        for waiting in [*self._waiting, *self._confirms.values()]:
            if not waiting.done():
                waiting.set_exception(self.closed)
                waiting.exception()  # nobody may be waiting any more
        self._confirms.clear()

    def _future(self) -> asyncio.Future[Any]:
        if self.closed is not None:
            raise self.closed
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        future.add_done_callback(self._waiting.discard)
        return future

    async def ask(self, method: str, *arguments: Any, **named: Any) -> Any:
        """The answer to a method that has one."""
        future = self._future()

        def answered(frame: Any) -> None:
            if not future.done():
                future.set_result(frame)

        try:
            getattr(self.raw, method)(*arguments, callback=answered, **named)
        except (_pika.exceptions.ChannelWrongStateError, _pika.exceptions.ConnectionWrongStateError) as error:
            raise self.closed or ConnectionLost(repr(error)) from error
        return await future

    # -- taking

    async def get(self, queue: str) -> Got | None:
        """The next message of a queue; None: there is none."""
        getting = asyncio.ensure_future(self._get(queue))
        try:
            return await asyncio.shield(getting)
        except asyncio.CancelledError:
            getting.add_done_callback(self._unwanted)
            raise

    async def _get(self, queue: str) -> Got | None:
        async with self.lock:
            future = self._getting = self._future()
            try:
                self.raw.basic_get(queue, self._on_get)
            except _pika.exceptions.AMQPError as error:
                raise self.closed or ConnectionLost(repr(error)) from error
            got: Got | None = await future
            return got

    def _unwanted(self, getting: asyncio.Future[Got | None]) -> None:
        got = None if getting.cancelled() or getting.exception() else getting.result()
        if got is not None and self.closed is None:
            self.raw.basic_nack(got.tag, requeue=True)

    def _on_get(self, _: Any, method: Any, properties: Any, body: bytes) -> None:
        future = self._getting
        got = Got(method.delivery_tag, method.redelivered, method.routing_key, properties, body)
        if future is None or future.done():
            self.raw.basic_nack(got.tag, requeue=True)
        else:
            future.set_result(got)

    def _on_empty(self, _: Any) -> None:
        future = self._getting
        if future is not None and not future.done():
            future.set_result(None)

    def settle(self, tags: Sequence[int], acknowledge: bool) -> None:
        """Acknowledge or give back; there is no answer."""
        if self.closed is not None:
            raise self.closed
        for tag in tags:
            if acknowledge:
                self.raw.basic_ack(tag)
            else:
                self.raw.basic_nack(tag, requeue=True)

    def return_late(self, tags: Sequence[int]) -> None:
        """Give back, if the channel is still there: else they went back with it."""
        if self.closed is None:
            self.settle(tags, False)

    def close(self) -> None:
        """Let it go: what it has not settled goes back. Never raises."""
        with contextlib.suppress(_pika.exceptions.AMQPError):
            if self.closed is None:
                self.raw.close()

    async def flush(self) -> None:
        """Wait until the server has read what was sent before."""
        async with self.lock:
            await self.ask("basic_qos", prefetch_count=1)

    # -- putting

    async def confirmed(self) -> None:
        """From now on the server says of each message that it has it."""
        await self.ask("confirm_delivery", self._on_confirm)
        self.raw.add_on_return_callback(self._on_return)

    def _on_return(self, _: Any, __: Any, properties: Any, ___: bytes) -> None:
        self._returned.add(properties.message_id)

    def _on_confirm(self, frame: Any) -> None:
        method = frame.method
        good = isinstance(method, _spec.Basic.Ack)
        tags = [method.delivery_tag]
        if method.multiple:
            tags = [tag for tag in self._confirms if tag <= method.delivery_tag]
        for tag in tags:
            future = self._confirms.pop(tag, None)
            if future is not None and not future.done():
                future.set_result(good)

    async def publish(
        self, exchange: str, messages: Sequence[tuple[str, bytes, Any]], mandatory: bool = True
    ) -> tuple[int, bool]:
        """Publish messages, and wait until the server has them.

        Args:
            messages: each as (routing key, body, properties with a message_id).
            mandatory: whether one that comes to no queue is given back.

        Returns:
            How many of the first it has; and whether the next was put nowhere, as no queue is bound.
        """
        if self.closed is not None:
            raise self.closed
        futures: list[tuple[str, asyncio.Future[bool]]] = []
        loop = asyncio.get_running_loop()
        try:
            for key, body, properties in messages:
                self._published += 1
                future = self._confirms[self._published] = loop.create_future()
                futures.append((properties.message_id, future))
                self.raw.basic_publish(exchange, key, body, properties, mandatory=mandatory)
        except _pika.exceptions.AMQPError as error:
            raise self.closed or ConnectionLost(repr(error)) from error
        count = 0
        returned = False
        for place, (name, future) in enumerate(futures):
            good = await future
            gone = name in self._returned
            self._returned.discard(name)
            if gone and count == place:
                returned = True
            elif good and count == place:
                count += 1
        return count, returned

    async def consume(self, queue: str, prefetch: int, on_message: Callable[[Got], None]) -> str:
        """Let messages come, at most so many that are not settled; what `cancel` wants."""

        def came(_: Any, method: Any, properties: Any, body: bytes) -> None:
            on_message(Got(method.delivery_tag, method.redelivered, method.routing_key, properties, body))

        async with self.lock:  # the limit is that of consumers that come after it
            await self.ask("basic_qos", prefetch_count=prefetch)
            frame = await self.ask("basic_consume", queue, came)
        return str(frame.method.consumer_tag)

    async def cancel(self, consumer: str) -> None:
        """Let no more come; what came before this returns has come."""
        await self.ask("basic_cancel", consumer)
