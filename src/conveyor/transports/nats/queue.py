"""A queue on NATS."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import UTC, datetime
from time import monotonic
from typing import Any

from ...errors import NotSupported
from ..ahead import Ahead
from ..answer import Answer
from ..port import ConnectionLost, Delivery, Depth, Settings
from ..url import Url
from .bounded import waiting
from .leaving import leave_behind
from .owed import ACK, NAK, TERM, Owed, nak, tell
from .protocol import ApiError, NobodyThere, checked
from .pulls import STOCK_SECONDS, Order, Pulls, Stock, Tag, numbers
from .putting import NatsPutting
from .wire import Wire

__all__ = ["NatsQueue", "consumer_config"]

_MOST_TAKEN = 1000
_MOST_SHOWN = 100
# What is taken within this time is acknowledged at a time.
_PAY_SECONDS = 0.001
# For so long the server knows what was put, and does not put it again.
_KNOWN_SECONDS = 120


class NatsQueue(NatsPutting):
    """A queue: a work-queue stream, and a consumer that all handles share."""

    def __init__(self, url: Url) -> None:
        super().__init__(url)
        self._stock = Stock()
        self._pulls: Pulls | None = None
        self._ack_wait = self._keep_alive
        self._stream_made = ""
        self._ageing = False
        self._pays = False
        self._ahead = Ahead()
        self._tasks: set[asyncio.Task[None]] = set()
        self._owed = Owed()

    # -- what there is

    def _check(self, record: bytes) -> None:
        if json.loads(record)["settings"]["max_bytes"]:
            raise NotSupported(
                f"{self._url}: NATS has no exact max_bytes; use maxsize, or redis:// or sqlite://"
            )

    async def _make(self, wire: Wire) -> None:
        names = self._names
        config = {
            "subjects": [names.put],
            "retention": "workqueue",
            "duplicate_window": _KNOWN_SECONDS * 10**9,
        }
        await self._make_stream(wire, names.stream, config)
        await wire.api(
            f"CONSUMER.DURABLE.CREATE.{names.stream}.{names.consumer}",
            {"stream_name": names.stream, "config": consumer_config(names.consumer, self._keep_alive)},
        )

    def _at_end(self) -> Mapping[str, Any]:
        return {"subjects": [self._names.ended]}

    async def _opened(self, wire: Wire) -> None:
        await super()._opened(wire)
        self._pulls = Pulls(wire, self._names.stream, self._names.consumer, self._came)
        self._bounded = None
        self._owed.begin()
        self._ageing = self._pays = False

    def declare(self, settings: Settings) -> None:
        super().declare(settings)
        self._max_items = settings.maxsize

        consumer, stream = self._do(self._look)
        self._ack_wait = consumer["config"]["ack_wait"] / 1e9
        self._stream_made = stream["created"]
        leave_behind(self)
        if self._owed:
            self._pay()

    def _rung(self, message: Any) -> None:
        ended = message.subject.endswith(".end")
        if self._bounded is not None:
            self._bounded.wake(ended)
        if ended and self._pulls is not None:
            self._pulls.look_again()

    def close(self) -> None:
        self.flush()
        stock = self._stock.take(len(self._stock))
        if stock:
            with contextlib.suppress(ConnectionLost, OSError):
                self._settle(stock, NAK)
        super().close()

    def flush(self) -> None:
        """See to it that the server knows what was taken, in the time that it takes. Never raises."""
        if self._owed:
            thread, wire = self._thread, self._wire
            if thread is not None and wire is not None and wire.lost is None:
                with contextlib.suppress(Exception):
                    thread.run(self._owed.pay(wire), 1.0 + self._ack_wait / 4)

    def abandon(self) -> None:
        super().abandon()
        self._stock = Stock()
        self._owed.clear()

    # -- taking

    def take(self, most: int, wait: float) -> list[Delivery]:
        # What waits to be acknowledged for too long would come back.
        limit = self._owed.most(self._ack_wait / 8)
        if len(self._owed) >= limit:
            self._do(self._owed.pay, self._ack_wait)
        ahead = 0 if self._max_items else self._ahead.asked(most, monotonic())
        found = self._come(min(most, limit), wait, min(ahead, limit))
        self._ahead.took(len(found), monotonic())
        if found:
            self._owed.add([each.tag for each in found])
            self._pay()
        return found

    def lease(self, most: int, wait: float, seconds: float | None) -> list[Delivery]:
        found = self._come(min(most, self._owed.most(self._ack_wait / 4)), wait)
        if found and (seconds is not None or self._keep_alive != self._ack_wait):
            try:
                lost = self.extend(found, self._keep_alive if seconds is None else seconds)
            except BaseException:
                self._stock.put_back(found)
                raise
            if lost:
                found = [each for each in found if each not in lost]
        return found

    def peek(self, most: int) -> list[Delivery]:
        here = self._stock.look(most)

        async def look(wire: Wire) -> list[Delivery]:
            consumer, stream = await self._look(wire)
            last: int = stream["state"]["last_seq"]
            # Those behind the last that anybody was sent: see `waiting`.
            number = last - waiting(consumer, stream) + 1
            found: list[Delivery] = []
            while len(here) + len(found) < most and number <= last:
                numbers = range(
                    number, min(number + most - len(here) - len(found), number + _MOST_SHOWN, last + 1)
                )
                number = numbers.stop
                for headers, body in await wire.messages(self._names.stream, numbers):
                    found.append(Delivery(body, headers.get("Content-Type", "")))
            return found

        return here + self._do(look)

    def _come(self, most: int, wait: float, ahead: int = 1) -> list[Delivery]:
        """What is there, at most `most`; waits for the first. `ahead`: how many to ask for, if that is more."""
        found = self._stock.take(most)
        if not found:
            thread, pulls = self._thread, self._pulls
            if thread is None or pulls is None:
                raise ConnectionLost(f"{self._url} is closed")
            if self._is_at_end:
                wait = 0.0  # nothing will come but what comes back: the base looks after that
            batch = min(max(most, ahead), _MOST_TAKEN)
            failed: Exception | None = None
            until = monotonic() + wait

            while True:
                answer: Answer[None] = Answer()
                order = Order(most, batch, wait, answer)
                try:
                    pulls.start(order, thread)
                    answer.wait(wait + self.answer_seconds)
                except (ConnectionLost, NobodyThere) as error:
                    failed = error
                found = self._stock.take(most)
                if found or failed is not None or not order.shares or self._is_at_end:
                    break
                wait = max(until - monotonic(), 0.0)
            if failed is not None and not found:
                if isinstance(failed, NobodyThere):
                    if self.read_record() is None:
                        raise self._removed()
                    raise self._meaning(failed)
                raise failed
        if found and self._max_items:
            self._later(self._tell_of_room)
        return found

    def _came(self, message: Any, asked: float) -> None:
        tries, number = numbers(message.reply)
        headers: dict[str, str] = message.headers or {}
        tag = Tag(message.reply, number, asked + self._ack_wait, self._stream_made)
        self._stock.add(Delivery(message.data, headers.get("Content-Type", ""), tag, tries - 1))
        if not self._ageing:
            self._ageing = True
            asyncio.get_running_loop().call_later(STOCK_SECONDS, self._give_back_old)

    def _give_back_old(self) -> None:
        old = self._stock.old()
        wire = self._wire
        if old and wire is not None:
            self._spawn(tell(wire, [each.tag for each in old], NAK))
        self._ageing = bool(self._stock)
        if self._ageing:
            asyncio.get_running_loop().call_later(STOCK_SECONDS, self._give_back_old)

    # -- settling

    def _later(self, call: Callable[[], None]) -> None:
        """Call it in the loop, soon."""
        thread = self._thread
        if thread is not None:
            thread.post(call)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run it beside, in the loop; that the connection breaks meanwhile is noticed by others."""

        async def run() -> None:
            with contextlib.suppress(ConnectionLost, NobodyThere, ApiError):
                await work

        task = asyncio.get_running_loop().create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _tell_of_room(self) -> None:
        wire = self._wire
        if wire is not None:
            with contextlib.suppress(ConnectionLost):
                wire.say(f"{self._names.bell}.room")

    def _pay(self) -> None:
        """Acknowledge what was taken for good, without waiting for that."""

        if not self._pays:
            self._pays = True
            self._later(self._pay_soon)

    def _pay_soon(self) -> None:
        asyncio.get_running_loop().call_later(_PAY_SECONDS, self._pay_now)

    def _pay_now(self) -> None:
        self._pays = False
        wire = self._wire
        if wire is not None and not self._owed.is_being_paid:
            self._spawn(self._owed.pay(wire))

    def _settle(self, deliveries: Sequence[Delivery], word: bytes) -> list[Delivery]:
        """Tell the server of those that are ours; the others."""
        now = monotonic()
        mine = [each.tag for each in deliveries if self._is_mine(each.tag, now)]
        lost = [each for each in deliveries if not self._is_mine(each.tag, now)]
        if mine:
            self._do(lambda wire: tell(wire, mine, word))
        return lost

    def _is_mine(self, tag: Tag, now: float) -> bool:
        # The server does not tell: it takes an acknowledgement from any process that had the message once.
        return tag.until > now and tag.stream == self._stream_made

    def acknowledge(self, deliveries: Sequence[Delivery]) -> Sequence[Delivery]:
        return self._settle(deliveries, ACK)

    def release(
        self, deliveries: Sequence[Delivery], delay: float, counted: bool, error: str
    ) -> Sequence[Delivery]:
        return self._settle(deliveries, nak(delay) if delay > 0 else NAK)

    def extend(self, deliveries: Sequence[Delivery], seconds: float) -> Sequence[Delivery]:
        # To give it back in so many seconds, and to settle it before that: this is how long it is ours.
        until = monotonic() + seconds
        lost = self._settle(deliveries, nak(seconds))
        for each in deliveries:
            if each not in lost:
                each.tag.until = until
        return lost

    def bury(self, deliveries: Sequence[Delivery], error: str, more: int) -> Sequence[Delivery]:
        names = self._names
        now = monotonic()
        mine = [each for each in deliveries if self._is_mine(each.tag, now)]

        async def bury(wire: Wire) -> None:
            config = {"subjects": [names.dead], "duplicate_window": _KNOWN_SECONDS * 10**9}
            await self._make_stream(wire, names.dead_stream, config)
            for each in mine:
                headers = {
                    "Content-Type": each.content_type,
                    "Nats-Msg-Id": f"{each.tag.stream}-{each.tag.number}",
                    "Conveyor-Error": error[:1000],
                    "Conveyor-Attempts": str(each.attempts + more),
                }
                checked(await wire.ask(names.dead, each.body, headers))

        if mine:
            self._do(bury)
        return self._settle(deliveries, TERM)

    def dead(self, most: int, after: Any) -> list[Delivery]:
        async def look(wire: Wire) -> list[Delivery]:
            number = 1 if after is None else after + 1
            found: list[Delivery] = []
            while len(found) < most:
                stored = await wire.first_from(self._names.dead_stream, number)
                if stored is None:
                    break
                number = stored.number + 1
                kind = stored.headers.get("Content-Type", "")
                attempts = int(stored.headers.get("Conveyor-Attempts", "1"))
                why = stored.headers.get("Conveyor-Error", "")
                found.append(Delivery(stored.body, kind, stored.number, attempts, why))
            return found

        return self._do(look)

    def forget(self, deliveries: Sequence[Delivery]) -> None:
        stream = self._names.dead_stream

        async def forget(wire: Wire) -> None:
            for each in deliveries:
                try:
                    await wire.api(f"STREAM.MSG.DELETE.{stream}", {"seq": each.tag})
                except ApiError:
                    stored = await wire.first_from(stream, each.tag)
                    if stored is not None and stored.number == each.tag:
                        raise

        self._do(forget)

    # -- state

    async def _look(self, wire: Wire) -> tuple[Any, Any]:
        """What the consumer and the stream say of themselves."""
        names = self._names
        questions = f"CONSUMER.INFO.{names.stream}.{names.consumer}", f"STREAM.INFO.{names.stream}"
        consumer, stream = [wire.begin(f"$JS.API.{each}", b"") for each in questions]
        return checked(await consumer), checked(await stream)

    def depth(self) -> Depth:
        async def look(wire: Wire) -> tuple[Any, Any]:
            await self._owed.pay(wire)
            return await self._look(wire)

        consumer, stream = self._do(look)
        here = len(self._stock)
        return Depth(waiting(consumer, stream) + here, max(consumer["num_ack_pending"] - here, 0))

    def oldest(self) -> float:
        here = self._stock.look(1)

        async def look(wire: Wire) -> float:
            consumer, stream = await self._look(wire)
            count = waiting(consumer, stream)
            if not here and not count:
                return 0.0
            number = here[0].tag.number if here else stream["state"]["last_seq"] - count + 1
            stored = await wire.first_from(self._names.stream, number)
            if stored is None:
                return 0.0  # somebody has just taken it
            now = stream.get("ts")  # servers before 2.10 do not say
            at = datetime.now(UTC) if now is None else datetime.fromisoformat(now)
            return max((at - datetime.fromisoformat(stored.time)).total_seconds(), 0.0)

        return self._do(look)

    def is_full(self, settings: Settings) -> bool:
        consumer, stream = self._do(self._look)
        return bool(settings.maxsize) and waiting(consumer, stream) >= settings.maxsize

    def purge(self) -> None:
        async def purge(wire: Wire) -> None:
            await wire.api(f"STREAM.PURGE.{self._names.stream}")
            wire.say(f"{self._names.bell}.room")

        self._stock.clear()
        self._do(purge)

    def figures(self) -> Mapping[str, int]:
        async def look(wire: Wire) -> Mapping[str, int]:
            stream = await wire.api(f"STREAM.INFO.{self._names.stream}")
            try:
                dead = (await wire.api(f"STREAM.INFO.{self._names.dead_stream}"))["state"]["messages"]
            except ApiError as error:
                if error.code != ApiError.NO_STREAM:
                    raise
                dead = 0
            return {"items_in": stream["state"]["last_seq"], "dead": dead}

        return self._do(look)


def consumer_config(name: str, keep_alive: float, first: str = "all") -> Mapping[str, Any]:
    """A consumer that all members of a queue share.

    Args:
        name: its name.
        keep_alive: seconds for which a lease outlives its process.
        first: which messages it has: "all", or those that are "new" when it is made.
    """
    return {
        "durable_name": name,
        "ack_policy": "explicit",
        "ack_wait": int(keep_alive * 1e9),
        "deliver_policy": first,
        "replay_policy": "instant",
        "max_deliver": -1,
        "max_ack_pending": -1,
        "max_waiting": 100_000,
    }
