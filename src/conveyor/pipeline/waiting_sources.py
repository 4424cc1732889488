"""Sources that may block: they are waited for in a thread of their own."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from typing import Any

from .coroutine_hand import Loop

__all__ = ["AsyncSource", "ThreadSource"]


class _Fed:
    """What a thread or a coroutine puts in and the engine takes out."""

    def __init__(self, tell: Callable[[], None]) -> None:
        self._items: deque[Any] = deque()
        self._tell = tell
        self._wanted = 0
        self._ended = False
        self._error: BaseException | None = None
        self.total: int | None = None
        """How many items there are in all, if that is known."""

    def fileno(self) -> None:
        """None: the engine is told."""

    @property
    def available(self) -> int:
        """Items that `take` can hand out now."""
        return len(self._items)

    @property
    def exhausted(self) -> bool:
        """Whether nothing more will come."""
        return self._ended and self._error is None and not self._items

    def stop(self) -> None:
        """Begin to fetch nothing more; safe in a signal handler."""

    fetching = False
    """Whether an item is being fetched, which nobody could give back. A coroutine that is cancelled has given none."""

    def take(self, limit: int) -> list[Any]:
        """Hand out up to `limit` of the items at hand."""
        items = self._items
        return [items.popleft() for _ in range(min(limit, len(items)))]

    def _raise(self) -> None:
        if self._ended and not self._items and self._error is not None:
            error, self._error = self._error, None
            raise error

    def _put(self, item: Any) -> None:
        self._items.append(item)
        if len(self._items) == 1:
            self._tell()

    def _end(self, error: BaseException | None = None) -> None:
        self._error = error
        self._ended = True
        self._tell()


class ThreadSource(_Fed):
    """The items of an iterable that may block, such as a generator.

    It is iterated in a thread of its own, no further than items are wanted. A generator is closed there, too.

    Args:
        items: the iterable.
        tell: called, in that thread, when there are items again, and at the end.
    """

    def __init__(self, items: Iterable[Any], tell: Callable[[], None]) -> None:
        super().__init__(tell)
        self._iterable = items
        self._more = threading.Condition()
        self._closed = False
        self._thread: threading.Thread | None = None

    def fill(self, want: int) -> None:
        """Have so many items fetched; what the iterable raised comes after what it gave."""
        self._raise()
        with self._more:
            self._wanted = want
            if self._thread is None:
                self._thread = threading.Thread(target=self._fetch, name="conveyor source", daemon=True)
                self._thread.start()
            self._more.notify()

    def _fetch(self) -> None:
        try:
            iterator: Iterator[Any] = iter(self._iterable)
            while self._is_wanted():
                self.fetching = True
                try:
                    item = next(iterator)
                except StopIteration:
                    break
                self._put(item)
                self.fetching = False
            close = getattr(iterator, "close", None)
            if callable(close) and hasattr(iterator, "gi_frame"):
                close()
        except BaseException as error:
            self._end(error)
        else:
            self._end()
        finally:
            self.fetching = False

    def stop(self) -> None:
        """Begin to fetch nothing more; safe in a signal handler, for who waits here is not fetching."""
        self._closed = True

    def _is_wanted(self) -> bool:
        if len(self._items) < self._wanted:
            return not self._closed
        with self._more:
            while len(self._items) >= self._wanted and not self._closed:
                self._more.wait()
            return not self._closed

    def close(self) -> None:
        """Nothing more is wanted. A thread that waits in the iterable ends when that gives something."""
        with self._more:
            self._closed = True
            self._more.notify()
        thread = self._thread
        if thread is None:
            self._ended = True
        elif thread is not threading.current_thread():
            thread.join(0.1)


class AsyncSource(_Fed):
    """The items of an async iterable.

    Args:
        items: the async iterable.
        tell: called when there are items again, and at the end.
        loop: the loop it is iterated in.
    """

    def __init__(self, items: AsyncIterable[Any], tell: Callable[[], None], loop: Loop) -> None:
        super().__init__(tell)
        self._iterable = items
        self._loop = loop.loop
        self._more: asyncio.Event | None = None
        self._task: Any = None

    def fill(self, want: int) -> None:
        """Have so many items fetched; what the iterable raised comes after what it gave."""
        self._raise()
        self._wanted = want
        if self._task is None:
            self._more = asyncio.Event()
            self._task = asyncio.run_coroutine_threadsafe(self._fetch(self._more), self._loop)
        elif self._more is not None:
            self._loop.call_soon_threadsafe(self._more.set)

    async def _fetch(self, more: asyncio.Event) -> None:
        try:
            iterator: AsyncIterator[Any] = aiter(self._iterable)
            try:
                async for item in iterator:
                    self._put(item)
                    while len(self._items) >= self._wanted:
                        more.clear()
                        if len(self._items) >= self._wanted:
                            await more.wait()
            finally:
                close: Any = getattr(iterator, "aclose", None)
                if callable(close):
                    await close()  # pyright: ignore[reportGeneralTypeIssues]
        except asyncio.CancelledError:
            self._end()
        except BaseException as error:
            self._end(error)
        else:
            self._end()

    def close(self) -> None:
        """Nothing more is wanted."""
        if self._task is None:
            self._ended = True
            return
        self._task.cancel()
        with contextlib.suppress(BaseException):
            self._task.result(1.0)
