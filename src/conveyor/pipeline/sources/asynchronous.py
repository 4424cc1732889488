"""AsyncSource: an async iterable as a source."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterable, AsyncIterator, Callable
from typing import Any

from ..host.event_loop import Loop
from .buffered import BufferedSource

__all__ = ["AsyncSource"]


class AsyncSource(BufferedSource):
    """The items of an async iterable.

    Args:
        items: the async iterable.
        tell: called when there are items again, and at the end.
        loop: the loop it is iterated in.
    """

    def __init__(self, items: AsyncIterable[Any], tell: Callable[[], None], loop: Loop) -> None:
        super().__init__(tell)
        self._iterable = items
        self._loop = loop
        self._more: asyncio.Event | None = None
        self._task: Any = None
        self._closed = False

    def fill(self, want: int) -> None:
        """Have so many items fetched; what the iterable raised comes after what it gave."""
        self._raise()
        self._wanted = want
        if self._task is None:
            self._more = asyncio.Event()
            self._task = asyncio.run_coroutine_threadsafe(self._fetch(self._more), self._loop.loop)
        elif self._more is not None:
            self._loop.loop.call_soon_threadsafe(self._more.set)

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
        except BaseException as error:
            # Cancelled by us, it has ended. Else it was something of its own, and what it had to give is missing.
            self._end(None if self._closed else error)
        else:
            self._end()

    def close(self) -> None:
        """Nothing more is wanted."""
        self._closed = True
        if self._task is None:
            self._ended = True
            return
        self._task.cancel()
        with contextlib.suppress(BaseException):
            self._task.result(1.0)
