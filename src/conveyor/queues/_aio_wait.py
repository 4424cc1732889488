"""How coroutines wait for a queue: without a thread for each, and without taking what they cannot return.

Nothing is taken or put on behalf of a coroutine: it is woken and tries by itself. One that is cancelled
while it waits, or after it was woken and before it runs, has therefore taken nothing.

For an item, the event loop watches the queue's ready descriptor. For room there is no descriptor: one
thread for a queue waits for it, while at least one coroutine does.
"""

from __future__ import annotations

import asyncio
import os
from time import monotonic
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from .._memory.waiter import Future, Identity, deadline_after, wait_in_thread, woken_by
from .._native import WaitNote

if TYPE_CHECKING:
    from .._native import Channel

__all__ = ["deadline_after", "wait_for_item", "wait_for_room"]

# Whether a registered producer or the holder of a lease has died is looked at so often (a second is
# promised), and whether there is any, without which nobody can die unnoticed.
_LOOK_SECONDS = 0.4
_IDLE_SECONDS = 2.0
# Who has waited for so long is seen to wait by those who look from outside, at the next look.
_LONG_SECONDS = 0.2


class _ItemWatch:
    """The coroutines of one loop that wait for an item of one segment."""

    def __init__(self, loop: asyncio.AbstractEventLoop, channel: Channel) -> None:
        self.loop = loop
        self.waiting: dict[Future, None] = {}  # in order
        # A number of our own: a loop keeps one callback for each, and the user may have one on the other.
        self.fd = os.dup(channel._watch())
        loop.add_reader(self.fd, self.wake_one)
        self.channel = channel
        self.since = monotonic()
        self.note: WaitNote | None = None
        self._look()

    def wake_one(self) -> None:
        """Called again and again until somebody has taken what is there: so the next one is woken then."""
        for future in self.waiting:
            del self.waiting[future]
            if not future.done():
                future.set_result(None)
            return

    def _look(self) -> None:
        # Which ends the queue if the last one is lost, and gives back what the dead had: that makes us ready.
        self.channel._look_for_lost()
        if self.channel._is_closed:  # by this process: all shall hear of it
            while self.waiting:
                self.wake_one()
        elif self.channel._is_shut_down:  # what this process has under lease makes no end for others
            self.wake_one()
        if self.note is None and monotonic() - self.since > _LONG_SECONDS:
            self.note = WaitNote(self.channel._segment, self.since)
        seconds = _LOOK_SECONDS if self.channel._must_look else _IDLE_SECONDS
        self.timer = self.loop.call_later(seconds, self._look)

    def close(self) -> None:
        self.timer.cancel()
        self.note = None
        self.loop.remove_reader(self.fd)
        os.close(self.fd)


_items: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Identity, _ItemWatch]] = WeakKeyDictionary()


async def wait_for_item(channel: Channel, deadline: float | None) -> bool:
    """Wait until there may be something to take, or to be told; False at the deadline."""
    loop = asyncio.get_running_loop()
    here = _items.setdefault(loop, {})
    identity = channel._identity
    watch = here.get(identity)
    if watch is None:
        watch = here[identity] = _ItemWatch(loop, channel)
    future = loop.create_future()
    watch.waiting[future] = None
    try:
        return await woken_by(future, deadline)
    finally:
        watch.waiting.pop(future, None)
        if not watch.waiting and here.get(identity) is watch:
            del here[identity]
            watch.close()


async def wait_for_room(channel: Channel, needed: int, deadline: float | None) -> bool:
    """Wait until there may be room for `needed` bytes; False at the deadline."""
    whose = channel._identity
    return await wait_in_thread("queue room", whose, channel._wait_room, needed, deadline)
