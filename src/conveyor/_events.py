"""How coroutines wait for a topic: one thread for each topic and event loop, while at least one of them waits.

Nothing is read or published on behalf of a coroutine: it is woken and tries by itself. One that is cancelled while
it waits has therefore lost nothing.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from ._native import TopicChannel

__all__ = ["deadline_after", "wait_for_event", "wait_for_room"]

# The thread looks so often whether anybody still wants it.
_SLICE_SECONDS = 0.5

_Future = asyncio.Future[None]
# Waits in the thread, at most so many seconds; whether it came.
_Wait = Callable[[int, float], bool]


def deadline_after(timeout: float | None) -> float | None:
    """When `timeout` seconds will have passed, by `time.monotonic`."""
    return None if timeout is None else monotonic() + timeout


class _Watch:
    """The coroutines of one loop that wait for one thing of one topic, and the thread that sleeps for them."""

    def __init__(self, loop: asyncio.AbstractEventLoop, wait: _Wait) -> None:
        self.loop = loop
        self.wait = wait
        self.changed = threading.Condition()
        self.waiting: dict[_Future, int] = {}  # the position that each has seen
        self.thread: threading.Thread | None = None

    def add(self, future: _Future, position: int) -> None:
        with self.changed:
            self.waiting[future] = position
            self.changed.notify()
            if self.thread is None:
                self.thread = threading.Thread(target=self._run, name="conveyor-topic", daemon=True)
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
                # Who has seen least is the first to have something to read.
                position = min(self.waiting.values(), default=-1)
            if position < 0 or not self.wait(position, _SLICE_SECONDS):
                continue
            with self.changed:
                woken = [future for future, seen in self.waiting.items() if seen == position]
                for future in woken:
                    del self.waiting[future]
            try:
                self.loop.call_soon_threadsafe(_wake, woken)
            except RuntimeError:  # the loop is closed: nobody waits in it
                continue


def _wake(futures: list[_Future]) -> None:
    for future in futures:
        if not future.done():
            future.set_result(None)


_Key = tuple[str, tuple[int, int]]
_watches: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[_Key, _Watch]] = WeakKeyDictionary()


async def _wait(
    channel: TopicChannel[Any], what: str, wait: _Wait, position: int, deadline: float | None
) -> bool:
    loop = asyncio.get_running_loop()
    here = _watches.setdefault(loop, {})
    key = (what, channel._region.identity)
    watch = here.get(key)
    if watch is None:
        watch = here[key] = _Watch(loop, wait)
    future = loop.create_future()
    watch.add(future, position)
    try:
        async with asyncio.timeout(None if deadline is None else deadline - monotonic()):
            await future
    except TimeoutError:
        return False
    finally:
        watch.remove(future)
        if not watch.waiting and here.get(key) is watch:
            del here[key]
    return True


async def wait_for_event(channel: TopicChannel[Any], position: int, deadline: float | None) -> bool:
    """Wait until there is something behind `position` of the log, or the end; False at the deadline."""
    return await _wait(channel, "event", channel._wait_event, position, deadline)


async def wait_for_room(channel: TopicChannel[Any], deadline: float | None) -> bool:
    """Wait until a subscriber that blocks has gone on, or the end; False at the deadline."""
    return await _wait(channel, "room", lambda _, seconds: channel._wait_room(seconds), 0, deadline)
