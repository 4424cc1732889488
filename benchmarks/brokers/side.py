"""One way to use a broker, and conveyor's."""

from __future__ import annotations

import uuid
from itertools import repeat
from time import perf_counter
from typing import Any

import conveyor

__all__ = ["BATCH", "BODY", "TAKEN", "Conveyor", "Side", "Taking"]

BODY = b"x" * 100
BATCH = 1000
"""Items of a put_many."""
TAKEN = 100
"""Items of a get_many, at most."""


class Side:
    """Subclasses define those of the works that the client has a way for: `put`, `put_many`, `get`, `get_many`, `trip`.

    Each does it for `count` items on a queue of its own, and returns when the last is confirmed or acknowledged; `trip`
    returns the seconds of each put and get of one item.
    """

    label = ""

    def __init__(self, server: Any) -> None:
        self.server = server
        self.name = f"bench-{uuid.uuid4().hex}"

    def open(self) -> None:
        """Connect, make the queue."""

    def fill(self, count: int) -> None:
        """Have so many items there."""

    def empty(self) -> None:
        """Have none there."""

    def close(self) -> None:
        """Disconnect, remove the queue."""


class Taking(Side):
    """Takes by `_take`, which acknowledges as well, and puts one by `_put`."""

    def _put(self) -> None:
        raise NotImplementedError

    def _take(self, most: int) -> int:
        """Take at most so many, and say how many."""
        raise NotImplementedError

    def put(self, count: int) -> None:
        for _ in range(count):
            self._put()

    def get(self, count: int) -> None:
        for _ in range(count):
            self._take(1)

    def get_many(self, count: int) -> None:
        while count:
            count -= self._take(min(TAKEN, count))

    def trip(self, count: int) -> list[float]:
        times: list[float] = []
        for _ in range(count):
            begun = perf_counter()
            self._put()
            self._take(1)
            times.append(perf_counter() - begun)
        return times


class Conveyor(Side):
    label = "conveyor"

    def __init__(self, server: Any, **options: str) -> None:
        super().__init__(server)
        self.url = server.url(self.name, **options) if hasattr(server, "url") else server

    def open(self) -> None:
        self.queue: Any = conveyor.connect(self.url)

    def fill(self, count: int) -> None:
        self.queue.put_many([BODY] * count)

    def empty(self) -> None:
        while True:
            try:
                self.queue.get_many(1000, timeout=0)
            except conveyor.Empty:
                return

    def close(self) -> None:
        self.queue.close()
        conveyor.remove(self.url)

    def put(self, count: int) -> None:
        put = self.queue.put
        for _ in repeat(None, count):
            put(BODY)

    def put_many(self, count: int) -> None:
        for _ in range(0, count, BATCH):
            self.queue.put_many([BODY] * BATCH)

    def get(self, count: int) -> None:
        get = self.queue.get
        for _ in repeat(None, count):
            get()

    def get_many(self, count: int) -> None:
        while count:
            count -= len(self.queue.get_many(min(TAKEN, count)))

    def lease(self, count: int) -> None:
        lease = self.queue.lease
        for _ in repeat(None, count):
            with lease():
                pass

    def trip(self, count: int) -> list[float]:
        times: list[float] = []
        for _ in repeat(None, count):
            begun = perf_counter()
            self.queue.put(BODY)
            self.queue.get()
            times.append(perf_counter() - begun)
        return times
