"""How coroutines wait for a queue: without a thread for each, and without taking what they cannot return.

Nothing is taken or put on behalf of a coroutine: it is woken and tries by itself. One that is cancelled
while it waits, or after it was woken and before it runs, has therefore taken nothing.

For an item, the event loop watches the queue's ready descriptor. For room there is no descriptor: one
thread for a queue waits for it, while at least one coroutine does.
"""

from __future__ import annotations

import asyncio
import os
import threading
from time import monotonic
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from ._native import Channel

__all__ = ["deadline_after", "wait_for_item", "wait_for_room"]

# Whether a registered producer or the holder of a lease has died is looked at so often (a second is
# promised), and whether there is any, without which nobody can die unnoticed.
_LOOK_SECONDS = 0.4
_IDLE_SECONDS = 2.0
# The thread that waits for room looks so often whether anybody still wants it.
_SLICE_SECONDS = 1.0

_Future = asyncio.Future[None]
_Identity = tuple[int, int]


def deadline_after(timeout: float | None) -> float | None:
    """When `timeout` seconds will have passed, by `time.monotonic`."""
    return None if timeout is None else monotonic() + timeout


def _left(deadline: float | None) -> float | None:
    return None if deadline is None else deadline - monotonic()


async def _woken(future: _Future, seconds: float | None) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await future
    except TimeoutError:
        return False
    return True


class _ItemWatch:
    """The coroutines of one loop that wait for an item of one segment."""

    def __init__(self, loop: asyncio.AbstractEventLoop, channel: Channel) -> None:
        self.loop = loop
        self.waiting: dict[_Future, None] = {}  # in order
        # A number of our own: a loop keeps one callback for each, and the user may have one on the other.
        self.fd = os.dup(channel._watch())
        loop.add_reader(self.fd, self.wake_one)
        self.channel = channel
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
        if self.channel._is_shut_down:  # what this process has under lease makes no end for others
            self.wake_one()
        seconds = _LOOK_SECONDS if self.channel._must_look else _IDLE_SECONDS
        self.timer = self.loop.call_later(seconds, self._look)

    def close(self) -> None:
        self.timer.cancel()
        self.loop.remove_reader(self.fd)
        os.close(self.fd)


class _RoomWatch:
    """The coroutines of one loop that wait for room in one queue, and the thread that sleeps for them."""

    def __init__(self, loop: asyncio.AbstractEventLoop, channel: Channel) -> None:
        self.loop = loop
        self.channel = channel
        self.changed = threading.Condition()
        self.waiting: dict[_Future, int] = {}  # the bytes that each needs
        self.thread: threading.Thread | None = None

    def add(self, future: _Future, needed: int) -> None:
        with self.changed:
            self.waiting[future] = needed
            self.changed.notify()
            if self.thread is None:
                self.thread = threading.Thread(target=self._run, name="conveyor-room", daemon=True)
                self.thread.start()

    def remove(self, future: _Future) -> None:
        with self.changed:
            self.waiting.pop(future, None)

    def _run(self) -> None:
        while True:
            with self.changed:
                if not self.waiting and not self.changed.wait(_SLICE_SECONDS) and not self.waiting:
                    self.thread = None
                    return
                least = min(self.waiting.values(), default=0)
            if not self.channel._wait_room(least, _SLICE_SECONDS):
                continue
            with self.changed:
                woken = list(self.waiting)
                self.waiting.clear()
            try:
                self.loop.call_soon_threadsafe(_wake, woken)
            except RuntimeError:  # the loop is closed: nobody waits in it
                continue


def _wake(futures: list[_Future]) -> None:
    for future in futures:
        if not future.done():
            future.set_result(None)


_items: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[_Identity, _ItemWatch]] = WeakKeyDictionary()
_rooms: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[_Identity, _RoomWatch]] = WeakKeyDictionary()


async def wait_for_item(channel: Channel, deadline: float | None) -> bool:
    """Wait until there may be something to take, or to be told; False at the deadline."""
    loop = asyncio.get_running_loop()
    here = _items.setdefault(loop, {})
    identity = channel._segment.identity
    watch = here.get(identity)
    if watch is None:
        watch = here[identity] = _ItemWatch(loop, channel)
    future = loop.create_future()
    watch.waiting[future] = None
    try:
        return await _woken(future, _left(deadline))
    finally:
        watch.waiting.pop(future, None)
        if not watch.waiting and here.get(identity) is watch:
            del here[identity]
            watch.close()


async def wait_for_room(channel: Channel, needed: int, deadline: float | None) -> bool:
    """Wait until there may be room for `needed` bytes; False at the deadline."""
    loop = asyncio.get_running_loop()
    here = _rooms.setdefault(loop, {})
    identity = channel._segment.identity
    watch = here.get(identity)
    if watch is None:
        watch = here[identity] = _RoomWatch(loop, channel)
    future = loop.create_future()
    watch.add(future, needed)
    try:
        return await _woken(future, _left(deadline))
    finally:
        watch.remove(future)
        if not watch.waiting and here.get(identity) is watch:
            del here[identity]
