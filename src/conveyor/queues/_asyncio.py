"""The coroutines of a queue."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from functools import partial
from typing import TypeVar

from .._native import Lease, QueueChannel
from ..errors import Empty, Full, ShutDown
from .awaited_lease import AwaitedLease

__all__ = ["AwaitableChannel"]

T = TypeVar("T")

# Items that are packed at a time: what does not fit is packed again at the next attempt.
_BATCH = 256


class AwaitableChannel(QueueChannel[T]):
    """`put` and `get` for asyncio, on any event loop that can watch a descriptor (uvloop, too).

    What waits is a coroutine, not a thread; it costs nothing meanwhile.
    """

    async def aput(self, obj: T, timeout: float | None = None) -> None:
        """`put` for coroutines: others run while it waits for room. Cancelled, it has put nothing.

        Args:
            obj: as for `put`; pickled at each attempt, so do not change it meanwhile.
            timeout: seconds to wait for room at most; None: for ever.

        Raises:
            queue.Full: no room, within the time. And what `put` raises.
        """
        from ._aio_wait import deadline_after, wait_for_room

        deadline = deadline_after(timeout)
        while True:
            try:
                return self.put_nowait(obj)
            except Full as full:
                if not await wait_for_room(self, getattr(full, "needed", 0), deadline):
                    raise

    async def aput_many(self, items: Iterable[T], timeout: float | None = None) -> None:
        """`put_many` for coroutines, in portions: cancelled, some of the items may be in.

        Raises:
            queue.Full: no room, within the time. And what `put_many` raises. The exception's `items_put`
                says how many are in, also when it is about an item that cannot be pickled.
        """
        from ._aio_wait import deadline_after, wait_for_room

        deadline = deadline_after(timeout)
        left = list(items)
        put = 0
        while left:
            some = left[:_BATCH]
            try:
                self.put_many(some, block=False)
            except Exception as error:
                done: int = getattr(error, "items_put", 0)
                put += done
                del left[:done]
                error.items_put = put  # type: ignore[attr-defined]
                if not isinstance(error, Full):
                    raise
                if not await wait_for_room(self, getattr(error, "needed", 0), deadline):
                    raise
            else:
                put += len(some)
                del left[: len(some)]

    async def aget(self, timeout: float | None = None) -> T:
        """`get` for coroutines: others run while it waits for an item. Cancelled, it has taken nothing.

        Args:
            timeout: seconds to wait at most; None: for ever.

        Raises:
            queue.Empty: nothing to take, within the time. And what `get` raises.
        """
        from ._aio_wait import deadline_after, wait_for_item

        deadline = deadline_after(timeout)
        while True:
            try:
                return self.get_nowait()
            except Empty:
                if not await wait_for_item(self, deadline):
                    raise

    async def aget_many(self, max_items: int = 100, timeout: float | None = None) -> list[T]:
        """`get_many` for coroutines: waits for the first item only. Cancelled, it has taken nothing."""
        from ._aio_wait import deadline_after, wait_for_item

        deadline = deadline_after(timeout)
        while True:
            try:
                return self.get_many(max_items, block=False)
            except Empty:
                if not await wait_for_item(self, deadline):
                    raise

    def alease(
        self, timeout: float | None = None, lease_seconds: float | None = None
    ) -> AwaitedLease[T, Lease[T]]:
        """`lease` for coroutines: others run while it waits for an item. Cancelled, it has taken nothing.

            async with queue.alease() as item:
                await work(item)

        `await queue.alease()` gives the `Lease` itself. The arguments and errors are those of `lease`; a
        block that is cancelled gives its item back.
        """
        return AwaitedLease(partial(self._alease, timeout, lease_seconds))

    async def _alease(self, timeout: float | None, lease_seconds: float | None) -> Lease[T]:
        from ._aio_wait import deadline_after, wait_for_item

        deadline = deadline_after(timeout)
        while True:
            try:
                return self.lease(0, lease_seconds)
            except Empty:
                if not await wait_for_item(self, deadline):
                    raise

    async def __aiter__(self) -> AsyncIterator[T]:
        """Take items until the queue is shut down and empty; others may do the same at the same time."""
        while True:
            try:
                item = await self.aget()
            except ShutDown:
                return
            yield item
