"""Feed: the one thread that looks, and what all clients are told of it."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from typing import Any

from .lookout import Lookout

__all__ = ["VIEWS", "Feed", "as_json"]

VIEWS = ("overview", "queues", "queue", "topics", "pipelines", "failures", "processes", "brokers")


def as_json(value: Any) -> bytes:
    """Rows as JSON: raw numbers, no NaN."""
    return json.dumps(value, default=_fields, separators=(",", ":"), allow_nan=False).encode()


def _fields(row: Any) -> dict[str, Any]:
    return {name: getattr(row, name) for name in row.__slots__}


class Feed:
    """Looks once in a while, whoever watches, and wakes those who do.

    Who is slow misses frames and gets the newest: nothing is kept for anybody.

    Args:
        lookout: what is looked with.
        every: seconds between two looks.
    """

    def __init__(self, lookout: Lookout, every: float) -> None:
        self._lookout, self._every = lookout, every
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._look_for_ever, name="conveyor-lookout", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._news = asyncio.Event()
        self._frames: dict[tuple[str, str, float], bytes | None] = {}
        self.version = 0
        """Of what was seen last; 0: nothing yet."""
        self.error = ""
        """Why nothing new is seen."""

    def start(self) -> None:
        """Begin; within the loop in which clients wait."""
        self._loop = asyncio.get_running_loop()
        for broker in self._lookout.brokers:
            broker.start()
        self._thread.start()

    def stop(self) -> None:
        """End, and wake who waits."""
        self._stopped.set()
        for broker in self._lookout.brokers:
            broker.stop()
        self._tell()

    @property
    def is_stopped(self) -> bool:
        """Whether it has ended: no more comes."""
        return self._stopped.is_set()

    @property
    def seen_at(self) -> float:
        """Seconds since 1970: when the newest that clients are told of was seen."""
        return self._lookout.snapshot.survey.time

    async def next(self, version: int) -> int:
        """The newest version, when it is another than this one, or when the feed has ended."""
        while self.version == version and not self._stopped.is_set():
            await self._news.wait()
        return self.version

    def frame(self, view: str, id_: str, since: float) -> bytes | None:
        """What a client shows now, as JSON; None: there is no such thing (any more). Made once for all of them.

        Args:
            view: one of `VIEWS`.
            id_: of the queue, for the view `queue`.
            since: for the view `queue`: a moment whose series the client has.
        """
        key = (view, id_, since)
        if key not in self._frames:
            data: Any
            if view == "queue":
                data = self._lookout.queue(id_, since)
            elif view == "brokers":
                data = self._lookout.broker_rows()
            else:
                data = getattr(self._lookout, view)()
            self._frames[key] = None if data is None else as_json(data)
        return self._frames[key]

    def _look_for_ever(self) -> None:
        due = time.monotonic()
        while not self._stopped.is_set():
            try:
                self._lookout.look()
                self.error = ""
            except Exception as error:  # whatever it was: the page stays, and says so
                self.error = f"{type(error).__name__}: {error}"
            loop = self._loop
            if loop is not None and not loop.is_closed():
                try:
                    loop.call_soon_threadsafe(self._tell)
                except RuntimeError:
                    return  # closed meanwhile
            due = max(due + self._every, time.monotonic())
            self._stopped.wait(due - time.monotonic())

    def _tell(self) -> None:
        self.version += 1
        self._frames.clear()
        news, self._news = self._news, asyncio.Event()
        news.set()
