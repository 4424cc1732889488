"""How messages are asked for and come: by pulls of a consumer, into a stock that the handle's threads take from."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Any

from ..answer import Answer
from ..loop_thread import LoopThread
from ..port import ConnectionLost, Delivery
from .protocol import NobodyThere, published
from .wire import Wire

__all__ = ["STOCK_SECONDS", "Order", "Pulls", "Stock", "Tag", "numbers"]

# What nobody has taken for so long goes back: the call that had asked for it was interrupted, or asks no more.
STOCK_SECONDS = 0.25


def numbers(reply: str) -> tuple[int, int]:
    """How often a message was delivered, and its number in the stream, by the subject that it is settled by."""
    words = reply.split(".")
    first = 4 if len(words) == 9 else 6  # with a domain and an account before
    return int(words[first]), int(words[first + 1])


class Tag:
    """What a message is settled by."""

    __slots__ = ("came", "number", "reply", "stream", "until")

    def __init__(self, reply: str, number: int, until: float, stream: str) -> None:
        self.reply = reply
        """The subject for what becomes of it."""
        self.number = number
        """In the stream."""
        self.until = until
        """By `time.monotonic`: until then it is ours for certain."""
        self.stream = stream
        """When its stream was made: another one of that name has other messages."""
        self.came = monotonic()


class Stock:
    """Messages that have come and were not taken yet; for threads and the loop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._items: deque[Delivery] = deque()

    def __len__(self) -> int:
        return len(self._items)

    def add(self, delivery: Delivery) -> None:
        """One more has come."""
        with self._lock:
            self._items.append(delivery)

    def take(self, most: int) -> list[Delivery]:
        """The first of them, at most `most`, without those that may be somebody else's by now."""
        now = monotonic()
        found: list[Delivery] = []
        with self._lock:
            items = self._items
            while items and len(found) < most:
                delivery = items.popleft()
                if delivery.tag.until > now:
                    found.append(delivery)
        return found

    def look(self, most: int) -> list[Delivery]:
        """The first of them, at most `most`, which stay."""
        now = monotonic()
        with self._lock:
            return [each for each in self._items if each.tag.until > now][:most]

    def put_back(self, deliveries: list[Delivery]) -> None:
        """Those that `take` had returned."""
        with self._lock:
            self._items.extendleft(reversed(deliveries))

    def old(self) -> list[Delivery]:
        """Take those that were not taken for too long."""
        before = monotonic() - STOCK_SECONDS
        found: list[Delivery] = []
        with self._lock:
            while self._items and self._items[0].tag.came < before:
                found.append(self._items.popleft())
        return found

    def clear(self) -> None:
        """Forget them all."""
        with self._lock:
            self._items.clear()


class Order:
    """Messages that a thread waits for.

    Args:
        most: how many it takes.
        batch: how many are asked for: what is beyond `most` lies ready then.
        wait: seconds for the first of them.
        answer: given when no more will come for it.

    Attributes:
        shares: whether it waits for what another pull brings, and has asked for nothing itself.
    """

    __slots__ = ("_answer", "batch", "left", "shares", "wait")

    def __init__(self, most: int, batch: int, wait: float, answer: Answer[None]) -> None:
        self.left = most
        self.batch = batch
        self.wait = wait
        self.shares = False
        self._answer = answer

    def came(self) -> None:
        """One more has come; called in the loop."""
        self.left -= 1
        if self.left == 0:
            asyncio.get_running_loop().call_soon(self.end)  # after what has come with it

    def end(self, failed: Exception | None = None) -> None:
        """No more will come; called in the loop."""
        self.left = 0
        if self._answer.claim():
            if failed is None:
                self._answer.give(None)
            else:
                self._answer.fail(failed)


class _Puller:
    """An inbox, for one pull at a time: what comes does not say which pull it comes for."""

    def __init__(self, pulls: Pulls, inbox: str) -> None:
        self._pulls = pulls
        self.inbox = inbox
        self.order: Order | None = None
        self.left = 0
        self.sent = 0.0

    @property
    def brings_more(self) -> bool:
        """Whether more is on its way than the calls that have asked for it still wait for."""
        order = self.order
        return self.left > 0 and order is not None and order.left <= 0

    def came(self, message: Any) -> None:
        order = self.order
        if message.reply:
            self._pulls.deposit(message, self.sent)
            self.left -= 1
            if order is not None:
                order.came()
                if self.left == 0:
                    self._pulls.ended(self, None)
            return
        headers: dict[str, str] = message.headers or {}
        status = headers.get("Status", "")
        if order is None or status == "100":
            return
        text = headers.get("Description", "")
        failed: Exception | None = None
        if status == "503" or "Deleted" in text:
            failed = NobodyThere()
        elif status not in ("404", "408"):
            failed = ConnectionLost(f"{status} {text}")
        self._pulls.ended(self, failed)


class Pulls:
    """The pulls of one connection.

    Args:
        wire: the connection.
        deposit: called with what has come, and when it was asked for.
    """

    def __init__(self, wire: Wire, stream: str, consumer: str, deposit: Callable[[Any, float], None]) -> None:
        self._wire = wire
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        self.deposit = deposit
        self._idle: list[_Puller] = []
        self._busy: set[_Puller] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        wire.when_lost(self._lost)

    def start(self, order: Order, thread: LoopThread) -> None:
        """See to it that it is delivered; from any thread.

        A server that is asked for more while it still sends what it was asked for may forget the second question until
        its time is over.
        """
        if order.wait > 0 and any(puller.brings_more for puller in list(self._busy)):
            thread.post(lambda: self._share(order))
            return
        try:
            puller = self._idle.pop()
        except IndexError:
            thread.post(lambda: self._begin(order))
        else:
            self._pull(puller, order)

    def _share(self, order: Order) -> None:
        order.shares = True
        for puller in self._busy:
            if puller.brings_more:
                puller.order = order
                asyncio.get_running_loop().call_later(order.wait, order.end)
                return
        order.end()  # it has come meanwhile

    def _begin(self, order: Order) -> None:
        task = asyncio.get_running_loop().create_task(self._pull_by_another(order))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _pull_by_another(self, order: Order) -> None:
        puller = _Puller(self, self._wire.new_inbox())
        try:
            await self._wire.subscribe(puller.inbox, puller.came)
        except Exception as error:
            order.end(error)
        else:
            self._pull(puller, order)

    def _pull(self, puller: _Puller, order: Order) -> None:
        puller.order, puller.left, puller.sent = order, order.batch, monotonic()
        # With both it waits for the first, and ends with the last that is there then.
        expires = f', "expires": {max(int(order.wait * 1e9), 1_000_000)}' if order.wait > 0 else ""
        question = f'{{"batch": {order.batch}, "no_wait": true{expires}}}'
        self._busy.add(puller)
        try:  # after that: who breaks the connection tells all who are busy
            self._wire.send(published(self._subject, puller.inbox, question.encode(), None))
        except ConnectionLost as error:
            self._busy.discard(puller)
            order.end(error)

    def ended(self, puller: _Puller, failed: Exception | None) -> None:
        """A pull is at its end."""
        order, puller.order = puller.order, None
        self._busy.discard(puller)
        self._idle.append(puller)
        if order is not None:
            order.end(failed)

    def look_again(self) -> None:
        """Let those who wait look what has changed. What comes for them meanwhile is in the stock."""
        for puller in list(self._busy):
            if puller.order is not None:
                puller.order.end()

    def _lost(self, error: Exception) -> None:
        for puller in list(self._busy):
            if puller.order is not None:
                puller.order.end(ConnectionLost(str(error)))
        self._busy.clear()
        self._idle.clear()
