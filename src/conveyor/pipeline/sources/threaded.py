"""ThreadSource: a source that may block, read in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ..host.forking import start_thread
from .buffered import BufferedSource
from .source import Measure

__all__ = ["ThreadSource"]


class ThreadSource(BufferedSource):
    """The items of an iterable that may block, such as a generator.

    It is iterated in a thread of its own, no further than items are wanted. A generator is closed there, too.

    Args:
        items: the iterable.
        tell: called, in that thread, when there are items again, and at the end.
    """

    measure: Measure | None = None
    """Knows how far it is in bytes."""

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
                self._thread = start_thread("conveyor source", self._fetch)
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
