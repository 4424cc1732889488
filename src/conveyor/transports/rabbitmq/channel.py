"""A channel of pika's, for coroutines."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from time import monotonic
from typing import Any, NamedTuple

from ..port import ConnectionLost
from .frames import content, publishing, settlement
from .publishing import Publishing

__all__ = ["Channel", "ChannelClosed", "Got", "Outgoing"]

_pika: Any = import_module("pika")
_spec: Any = import_module("pika.spec")
_Method: Any = import_module("pika.frame").Method


# Of more in one word the server loses the order: a map in Erlang is sorted as long as it has so many keys. And of more
# words than that it keeps some back and makes one of them.
_IN_ORDER = 32
_NEVER = 2**63
_CATCH_UP_SECONDS = 2.0


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


class Outgoing(NamedTuple):
    """A message to be published."""

    key: str
    id: str
    properties: bytes
    """Encoded; they have the id."""
    body: bytes


class Channel:
    """One channel; what waits for it ends when it is closed."""

    def __init__(self, raw: Any) -> None:
        self.raw = raw
        self.lock = asyncio.Lock()
        self.closed: Exception | None = None
        self._waiting: set[asyncio.Future[Any]] = set()
        self._published = 0
        self._publishings: deque[Publishing] = deque()
        self._exchange: tuple[str, str, bool] = "", "", False
        self._to_exchange = b""
        self._returned: set[str] = set()
        self._getting: asyncio.Future[Got | None] | None = None
        self._cancelling: dict[str, asyncio.Future[Any]] = {}
        self._unsettled: dict[int, str] = {}  # by tag: the consumer
        raw.add_on_close_callback(self._on_close)
        raw.add_callback(self._on_empty, [_spec.Basic.GetEmpty], one_shot=False)
        raw.add_callback(self._on_cancelled, [_spec.Basic.CancelOk], one_shot=False)

    def _on_close(self, _: Any, reason: Any) -> None:
        code = getattr(reason, "reply_code", 0)
        closed_by_server = isinstance(reason, _pika.exceptions.ChannelClosedByBroker)
        self.closed = ChannelClosed(code, str(reason)) if closed_by_server else ConnectionLost(repr(reason))
        for waiting in list(self._waiting):
            if not waiting.done():
                waiting.set_exception(self.closed)
                waiting.exception()  # nobody may be waiting any more
        publishings, self._publishings = self._publishings, deque()
        for each in publishings:
            each.fail(self.closed)

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
            with contextlib.suppress(ConnectionLost):  # it goes back with the channel
                self.settle([got.tag], False)

    def _on_get(self, _: Any, method: Any, properties: Any, body: bytes) -> None:
        future = self._getting
        got = Got(method.delivery_tag, method.redelivered, method.routing_key, properties, body)
        self._unsettled[got.tag] = ""
        if future is None or future.done():
            self.settle([got.tag], False)
        else:
            future.set_result(got)

    def _on_empty(self, _: Any) -> None:
        future = self._getting
        if future is not None and not future.done():
            future.set_result(None)

    def settle(self, tags: Sequence[int], acknowledge: bool) -> None:
        """Acknowledge or give back, in order. There is no answer; the system has it when this returns."""
        raw = self.raw
        if self.closed is not None or not raw.is_open:
            raise self.closed or ConnectionLost("the channel is closed")
        if not tags:
            return
        data = self._settlement(tags, acknowledge)
        for tag in tags:
            self._unsettled.pop(tag, None)
        raw.connection.send(data)

    def acknowledge_with(
        self, tags: Sequence[int], calls: Sequence[Callable[[], object]], results: list[Any]
    ) -> bool:
        """Acknowledge and make the calls, from any thread, in one step or not at all; see `Outlet.send_with`."""
        raw = self.raw
        if self.closed is not None or not raw.is_open:
            return False
        settled = [partial(self._unsettled.pop, tag, None) for tag in tags]
        done: bool = raw.connection.send_with(self._settlement(tags, True), (*settled, *calls), results)
        return done

    def _settlement(self, tags: Sequence[int], acknowledge: bool) -> bytes:
        number = self.raw.channel_number
        if len(tags) == 1:
            return settlement(number, tags[0], acknowledge, False)
        unsettled = dict(self._unsettled)  # as it is now: another thread may have messages come
        runs = [tags] if acknowledge else _runs(tags, unsettled)
        for tag in tags:
            unsettled.pop(tag, None)
        # What one word settles together with all before it must leave out none that is to be settled otherwise.
        end = min(unsettled, default=_NEVER)
        frames: list[bytes] = []
        for run in reversed(runs):
            last = run[-1]
            if last < end and last == max(run):
                some = [settlement(number, last, acknowledge, True)]
            else:
                some = [settlement(number, tag, acknowledge, False) for tag in run]
            end = min(end, *run)
            frames = some + frames
        return b"".join(frames)

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
        number, multiple = method.delivery_tag, method.multiple
        done: list[Publishing] = []
        for each in self._publishings:
            if each.first > number:
                break
            if (multiple or number <= each.last) and each.confirm(number, multiple, good, self._returned):
                done.append(each)
        for each in done:
            self._publishings.remove(each)

    def publish_then(
        self,
        exchange: str,
        messages: Sequence[Outgoing],
        mandatory: bool,
        then: Callable[[tuple[int, bool] | None, Exception | None], object],
    ) -> None:
        """Publish messages, and call `then` with what `publish` returns or raises. They are sent when this returns."""
        if self.closed is not None:
            then(None, self.closed)
            return
        raw = self.raw
        number, frame_max = raw.channel_number, raw.connection.params.frame_max
        if not raw.is_open or not raw.connection.is_open:
            then(None, ConnectionLost("the connection is closed"))
            return
        frames: list[bytes] = []
        for message in messages:
            to = (exchange, message.key, mandatory)
            if to != self._exchange:
                self._exchange, self._to_exchange = to, publishing(number, *to)
            frames += (self._to_exchange, content(number, message.properties, message.body, frame_max))
        first = self._published + 1
        self._published += len(messages)
        self._publishings.append(Publishing(first, [message.id for message in messages], then))
        raw.connection.send(b"".join(frames))

    async def publish(
        self, exchange: str, messages: Sequence[Outgoing], mandatory: bool = True
    ) -> tuple[int, bool]:
        """Publish messages, and wait until the server has them.

        Args:
            mandatory: whether one that comes to no queue is given back.

        Returns:
            How many of the first it has; and whether the next was put nowhere, as no queue is bound.
        """
        future: asyncio.Future[tuple[int, bool]] = asyncio.get_running_loop().create_future()

        def then(outcome: tuple[int, bool] | None, error: Exception | None) -> None:
            if future.done():
                return
            if outcome is None:
                future.set_exception(error or ConnectionLost("the channel is closed"))
            else:
                future.set_result(outcome)

        self.publish_then(exchange, messages, mandatory, then)
        return await future

    async def consume(self, queue: str, prefetch: int, on_message: Callable[[Got], None]) -> str:
        """Let messages come, at most so many that are not settled; what `cancel` wants."""

        def came(_: Any, method: Any, properties: Any, body: bytes) -> None:
            self._unsettled[method.delivery_tag] = method.consumer_tag
            on_message(Got(method.delivery_tag, method.redelivered, method.routing_key, properties, body))

        async with self.lock:  # the limit is that of consumers that come after it
            await self.ask("basic_qos", prefetch_count=prefetch)
            frame = await self.ask("basic_consume", queue, came)
        return str(frame.method.consumer_tag)

    async def cancel(self, consumer: str) -> None:
        """Let no more come.

        What was on its way then the server has go back, more than a few of them in no order: see `catch_up`.
        """
        if self.closed is not None or consumer not in self.raw.consumer_tags:
            return  # the server has ended it
        future = self._future()
        self._cancelling[consumer] = future
        self._send_cancel(consumer)
        await future

    def cancel_soon(self, consumer: str) -> None:
        """Let no more come to a consumer that has as many as it may, all of which are settled after this."""
        if self.closed is None and consumer in self.raw.consumer_tags:
            self._send_cancel(consumer)

    def _send_cancel(self, consumer: str) -> None:
        raw = self.raw
        if not raw.is_open:
            raise self.closed or ConnectionLost("the channel is closed")
        method = _spec.Basic.Cancel(consumer_tag=consumer, nowait=False)
        raw.connection.send(_Method(raw.channel_number, method).marshal())

    def _on_cancelled(self, frame: Any) -> None:
        consumer = frame.method.consumer_tag
        future = self._cancelling.pop(consumer, None)
        # Not by the client's own method of cancelling, which gives back what comes meanwhile, one by one.
        getattr(self.raw, "_consumers", {}).pop(consumer, None)
        if future is not None and not future.done():
            future.set_result(frame)

    async def catch_up(self, queue: str, consumer: str, prefetch: int) -> bool:
        """Have all come that the consumer may have now.

        Returns:
            Whether it has as many as it may, so that no more is on its way; else there were no more.
        """
        until = monotonic() + _CATCH_UP_SECONDS
        while True:
            async with self.lock:
                # The queue answers this after it has sent the consumer what it has given it,
                frame = await self.ask("queue_declare", queue, passive=True)
                # and the channel answers this after it has passed that on.
                await self.ask("basic_qos", prefetch_count=1)
            full = list(self._unsettled.values()).count(consumer) >= prefetch
            if full or not frame.method.message_count or monotonic() > until:
                return full
            # What was acknowledged last is not written down there yet, and then the consumer gets more.
            await asyncio.sleep(0.001)


def _runs(tags: Sequence[int], consumers: dict[int, str]) -> list[list[int]]:
    """Parts that go back in order with one word each: few, and of one consumer."""
    runs: list[list[int]] = []
    last: str | None = None
    for tag in tags:
        consumer = consumers.get(tag, "")
        if consumer != last or len(runs[-1]) == _IN_ORDER:
            runs.append([])
            last = consumer
        runs[-1].append(tag)
    return runs
