"""LocalChannel: a channel between an engine and a worker in the same process."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from ...errors import Empty

__all__ = ["LocalChannel"]


class LocalChannel:
    """What a queue is to a worker process: for a thread or a coroutine, without shared memory.

    Args:
        tell: called, from any thread, when the first message came since the last `take_each`.
    """

    def __init__(self, tell: Callable[[], None] | None = None) -> None:
        self._messages: deque[Any] = deque()
        self._told = False
        self._tell = tell
        self._came = threading.Semaphore(0) if tell is None else None

    def put(self, message: Any) -> None:
        """Put a message."""
        self._messages.append(message)
        if self._came is not None:
            self._came.release()
        elif self._tell is not None and not self._told:
            self._told = True
            self._tell()

    def put_many(self, messages: Iterable[Any]) -> None:
        """Put several."""
        for message in messages:
            self.put(message)

    def get(self, block: bool = True) -> Any:
        """The next message; `Empty` if there is none and it must not block."""
        assert self._came is not None
        while True:
            if not self._came.acquire(block):
                raise Empty
            try:
                return self._messages.popleft()
            except IndexError:  # it was taken back
                if not block:
                    raise Empty from None

    def take_each(self) -> list[Any]:
        """All messages that are there."""
        self._told = False
        messages: list[Any] = []
        while True:
            try:
                messages.append(self._messages.popleft())
            except IndexError:
                return messages

    def empty(self) -> bool:
        """Whether none is there."""
        return not self._messages
