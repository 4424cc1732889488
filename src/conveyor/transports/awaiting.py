"""The coroutines of a queue on a broker.

At most three threads for each handle that coroutines use, however many of these there are: one puts (what many
coroutines put at the same time goes out as one batch), one takes, under lease, as many items as coroutines wait for,
and one settles. So who is cancelled has taken nothing: what came for it goes to the next one, or back.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar

from ..errors import BadMessage, ShutDown
from ..queues.awaited_lease import AwaitedLease
from .broker_lease import HELD, BrokerLease
from .finisher import Finisher
from .link import deadline_after
from .settling import Settling
from .taker import Taker

if TYPE_CHECKING:
    from .port import Delivery

__all__ = ["Awaiting"]

T = TypeVar("T")


class Awaiting(Settling, Generic[T]):
    """`put`, `get` and `lease` for asyncio, on any event loop."""

    def _start(self) -> None:
        super()._start()
        self._taker: Taker | None = None
        self._finisher: Finisher | None = None

    if TYPE_CHECKING:  # BrokerQueue's

        def _seconds(self, lease_seconds: float | None) -> float | None: ...

    # -- putting

    async def aput(self, obj: T, timeout: float | None = None) -> None:
        """`put` for coroutines: others run while it is on its way, or waits for room.

        Cancelled, it has put nothing; if the broker has the item already, this returns, and the task is cancelled
        where it waits next.

        Raises:
            queue.Full: no room, within the time. And what `put` raises.
        """
        self._check_open()
        deadline = deadline_after(timeout)
        await self._asend([self._message(obj)], deadline)

    async def aput_many(self, items: Iterable[T], timeout: float | None = None) -> None:
        """`put_many` for coroutines: cancelled, some of the items may be in.

        Raises:
            queue.Full: no room, within the time. And what `put_many` raises, with `items_put`.
        """
        self._check_open()
        deadline = deadline_after(timeout)
        messages = self._messages(items)
        if messages:
            await self._asend(messages, deadline)

    # -- taking

    def _finish(self) -> Finisher:
        self._finisher = finisher = self._finisher or Finisher(self)
        return finisher

    async def aget(self, timeout: float | None = None) -> T:
        """`get` for coroutines: others run while it waits for an item. Cancelled, it has taken nothing.

        Its acknowledgement goes to the broker just after it has returned, together with those of others.

        Raises:
            queue.Empty: nothing to take, within the time. And what `get` raises.
        """
        (item,) = await self.aget_many(1, timeout)
        return item

    async def aget_many(self, max_items: int = 100, timeout: float | None = None) -> list[T]:
        """`get_many` for coroutines: waits for the first item only. Cancelled, it has taken nothing."""
        deliveries = await self._take(max_items, timeout, None)
        items: list[T] = []
        bad: BadMessage | None = None
        good: list[Delivery] = []
        for delivery in deliveries:
            try:
                items.append(self._read(delivery))
                good.append(delivery)
            except BadMessage as error:
                bad = bad or error
                await self._finish().run(partial(self._bad, delivery, error, True))
        if good:
            self._finish().acknowledge(good)
        if bad is not None:
            bad.items_received = items  # type: ignore[attr-defined]
            raise bad
        return items

    def alease(
        self, timeout: float | None = None, lease_seconds: float | None = None
    ) -> AwaitedLease[T, BrokerLease[T]]:
        """`lease` for coroutines: others run while it waits for an item. Cancelled, it has taken nothing.

            async with queue.alease() as item:
                await work(item)

        `await queue.alease()` gives the `Lease` itself.
        """
        return AwaitedLease(partial(self._alease, timeout, lease_seconds), self._end_lease)

    async def _end_lease(self, lease: BrokerLease[T], end: Callable[[], None]) -> None:
        if lease.stage != HELD:
            end()
        else:  # in the thread, and to its end, also when this is cancelled: the item must not be in doubt
            await self._finish().run(end)

    async def _alease(self, timeout: float | None, lease_seconds: float | None) -> BrokerLease[T]:
        seconds = self._seconds(lease_seconds)
        (delivery,) = await self._take(1, timeout, seconds)
        try:
            return self._leased(self._read(delivery), delivery, seconds)
        except BadMessage as error:
            bad = error
            await self._finish().run(lambda: self._bad(delivery, bad, True))
            raise

    async def _take(self, most: int, timeout: float | None, seconds: float | None) -> list[Delivery]:
        self._check_open()
        if most < 1:
            raise ValueError(f"max_items is {most}; it must be at least 1")
        self._taker = taker = self._taker or Taker(self)
        return await taker.take(most, deadline_after(timeout), seconds)

    async def __aiter__(self) -> AsyncIterator[T]:
        """Take items until the queue is shut down and empty; others may do the same at the same time."""
        while True:
            try:
                item = await self.aget()
            except ShutDown:
                return
            yield item

    def _stop_awaiting(self) -> None:
        for courier in (self._putter, self._taker, self._finisher):
            if courier is not None:
                courier.stop()
