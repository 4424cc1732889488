"""A thread that waits for coroutines, where there is no descriptor that an event loop could watch.

One thread for each thing to wait for and event loop, while at least one coroutine does. Nothing is done on behalf of a
coroutine: it is woken and tries by itself. One that is cancelled while it waits has therefore lost nothing.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from weakref import WeakKeyDictionary

__all__ = ["Future", "Identity", "deadline_after", "wait_in_thread", "wake", "wake_waiting", "woken_by"]

# The thread looks so often whether anybody still wants it.
_SLICE_SECONDS = 0.5

Future = asyncio.Future[None]
Identity = tuple[int, int]
# Waits in the thread, at most so many seconds; whether it came.
_Wait = Callable[[int, float], bool]


def deadline_after(timeout: float | None) -> float | None:
    """When `timeout` seconds will have passed, by `time.monotonic`."""
    return None if timeout is None else monotonic() + timeout


async def woken_by(future: Future, deadline: float | None) -> bool:
    """Wait for it; False at the deadline."""
    try:
        async with asyncio.timeout(None if deadline is None else deadline - monotonic()):
            await future
    except TimeoutError:
        return False
    return True


def wake(futures: list[Future]) -> None:
    """Have the coroutines that wait for them go on."""
    for future in futures:
        if not future.done():
            future.set_result(None)


class _Waiter:
    """The coroutines of one loop that wait for one thing, and the thread that sleeps for them."""

    def __init__(self, loop: asyncio.AbstractEventLoop, wait: _Wait) -> None:
        self.loop = loop
        self.wait = wait
        self.changed = threading.Condition()
        self.waiting: dict[Future, int] = {}  # how much each waits for
        self.thread: threading.Thread | None = None

    def add(self, future: Future, amount: int) -> None:
        with self.changed:
            self.waiting[future] = amount
            self.changed.notify()
            if self.thread is None:
                self.thread = threading.Thread(target=self._run, name="conveyor-waiter", daemon=True)
                self.thread.start()

    def remove(self, future: Future) -> None:
        with self.changed:
            self.waiting.pop(future, None)

    def _run(self) -> None:
        while True:
            with self.changed:
                if not self.waiting and not self.changed.wait(_SLICE_SECONDS) and not self.waiting:
                    self.thread = None
                    return
                least = min(self.waiting.values(), default=-1)
            if least < 0 or not self.wait(least, _SLICE_SECONDS):
                continue
            self.wake_all()

    def wake_all(self) -> None:
        """All of them, or those who want little could keep one who wants much from ever trying."""
        with self.changed:
            woken = list(self.waiting)
            self.waiting.clear()
        with suppress(RuntimeError):  # the loop is closed: nobody waits in it
            self.loop.call_soon_threadsafe(wake, woken)


_Key = tuple[str, Identity]
_waiters: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[_Key, _Waiter]] = WeakKeyDictionary()


def wake_waiting(what: str, whose: Identity) -> None:
    """Have all coroutines that wait for this try again, in all loops; from any thread."""
    for here in list(_waiters.values()):
        if (waiter := here.get((what, whose))) is not None:
            waiter.wake_all()


def _never() -> bool:
    return False


async def wait_in_thread(
    what: str,
    whose: Identity,
    wait: _Wait,
    amount: int,
    deadline: float | None,
    over: Callable[[], bool] = _never,
) -> bool:
    """Wait until `wait(amount, seconds)` has returned True in a thread; False at the deadline.

    Args:
        what: is waited for: all that wait for the same with a loop share a thread.
        whose: the segment's or region's identity.
        wait: waits, at most so many seconds; what it does for an amount it does for less as well.
        amount: how much is waited for: bytes of room, a position; not negative.
        deadline: by `time.monotonic`; None: as long as it takes.
        over: whether there is nothing to wait for any more; who makes it so calls `wake_waiting` then.
    """
    loop = asyncio.get_running_loop()
    here = _waiters.setdefault(loop, {})
    key = (what, whose)
    waiter = here.get(key)
    if waiter is None:
        waiter = here[key] = _Waiter(loop, wait)
    future = loop.create_future()
    waiter.add(future, amount)
    try:
        if over():  # before it was known that we wait
            return True
        return await woken_by(future, deadline)
    finally:
        waiter.remove(future)
        if not waiter.waiting and here.get(key) is waiter:
            del here[key]
