"""Backlog: the items that are to be given to workers next."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

from .run import Run
from .sources import Source
from .window import Window

__all__ = ["Backlog"]


class Backlog:
    """What was taken back from workers, which comes first, and then the source, as far as the window allows.

    Args:
        source: where items come from.
        window: what is under way and bounds how much more may be.
    """

    def __init__(self, source: Source[Any], window: Window) -> None:
        self._source = source
        self._window = window
        self._back: deque[Run] = deque()
        self._closed = False
        self._numbered = 0
        self.error: Exception | None = None
        """What the source raised; nothing more is read from it then."""

    def close(self) -> None:
        """Take nothing more from the source."""
        self._closed = True

    def take_back(self, runs: Iterable[Run]) -> None:
        """Hold runs that are to be given again."""
        self._back.extend(runs)

    @property
    def available(self) -> int:
        """Items that can be given now."""
        if self._back:
            return sum(run.count for run in self._back)
        return 0 if self._closed else min(self._source.available, self._window.room)

    def next_run(self, most: int) -> Run:
        """Take up to `most` of the available items; there must be some."""
        if self._back:
            run = self._back.popleft()
            if run.count > most:
                self._back.appendleft(self._window.split(run, run.start + most))
            return run
        run = Run(self._numbered, self._source.take(most))
        self._numbered += run.count
        self._window.add(run)
        return run

    @property
    def finished(self) -> bool:
        """Whether nothing is left, and nothing will come."""
        more = not self._closed and (self._source.available > 0 or not self._read_out)
        return not self._back and not more

    @property
    def _read_out(self) -> bool:
        return self._source.exhausted or self.error is not None

    @property
    def wants_input(self) -> bool:
        """Whether the source should be read."""
        return not (
            self._closed or self._read_out or self._source.available or self._back or not self._window.room
        )

    def fill(self) -> None:
        """Read from the source, once."""
        try:
            self._source.fill()
        except Exception as error:
            self.error = error

    @property
    def taken(self) -> int:
        """Items taken from the source so far, those that nobody has yet included."""
        return self._numbered + self._source.available

    @property
    def not_begun(self) -> int:
        """Items taken from the source that no worker has."""
        return sum(run.count for run in self._back) + self._source.available
