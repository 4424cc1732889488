"""Acknowledger: settles the leases of a source's items when what came of them has reached an end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Protocol

from .origin_counter import OriginCounter, places

__all__ = ["Acknowledger", "LeasedItems"]

_EVERY_SECONDS = 0.02
_MOST = 1000


class LeasedItems(Protocol):
    """A source whose items are leased, by their places."""

    def acknowledge(self, numbers: list[int]) -> None:
        """These are dealt with; in any thread."""
        ...

    def reject(self, number: int, reason: str) -> bool:
        """This one is given up; returns whether it is of a queue that leases its items."""
        ...

    def give_back(self) -> None:
        """All that are not settled go back to their queue."""
        ...


class Acknowledger(OriginCounter):
    """Acknowledges items of a leased source once everything that came of them is at an end and flushed there.

    That is a message to a broker and its answer: a thread waits for it, and the run goes on. What is done meanwhile is
    acknowledged together.

    Args:
        now: the time as the run begins.
    """

    def __init__(self, now: float) -> None:
        super().__init__()
        self._source: LeasedItems | None = None
        self._flush: Callable[[], object] = lambda: None
        self._confirm: Callable[[], object] = lambda: None
        self._wake: Callable[[], object] = lambda: None
        self._done: list[int] = []
        self._committed = now
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._batch: list[int] = []  # the thread is at it
        self._error: BaseException | None = None
        self._closed = False

    def settle_for(
        self,
        source: LeasedItems,
        flush: Callable[[], object],
        confirm: Callable[[], object],
        wake: Callable[[], object],
    ) -> None:
        """Say whose items they are.

        Args:
            source: the source.
            flush: called before items are acknowledged: what sinks hold back must be out by then.
            confirm: waits until it is, in any thread.
            wake: called, in another thread, when there may be something to commit again.
        """
        self._source, self._flush, self._confirm, self._wake = source, flush, confirm, wake

    def item_done(self, number: int) -> None:
        """Nothing that came of this item is under way any more."""
        self._done.append(number)

    def reject(self, origin: Any, reason: str) -> bool:
        """The items that it came of are given up, and become dead letters of their queue; returns whether any is."""
        assert self._source is not None
        found = [self._source.reject(number, reason) for number in places(origin)]  # all of them
        return any(found)

    def commit(self, now: float, force: bool = False) -> None:
        """Acknowledge what is done, if it is time to; with `force`, wait until it is.

        Raises:
            Exception: what came of acknowledging, now or before.
        """
        if force:
            self._wait()
        self._raise()
        is_due = force or len(self._done) >= _MOST or now - self._committed >= _EVERY_SECONDS
        if not self._done or self._batch or not is_due:
            return
        self._committed = now
        self._flush()
        with self._changed:
            self._batch, self._done = self._done, []
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="conveyor acknowledger", daemon=True)
                self._thread.start()
            self._changed.notify_all()
        if force:
            self._wait()
            self._raise()

    def _run(self) -> None:
        assert self._source is not None
        while True:
            with self._changed:
                while not self._batch:
                    if self._closed:
                        return
                    self._changed.wait()
            try:
                self._confirm()
                self._source.acknowledge(self._batch)
            except BaseException as error:
                self._error = error
            with self._changed:
                self._batch = []
                self._changed.notify_all()
            self._wake()

    def _wait(self) -> None:
        with self._changed:
            while self._batch:
                self._changed.wait()

    def _raise(self) -> None:
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def deadline(self) -> float | None:
        """What is done is acknowledged soon: others may wait for it to end."""
        return self._committed + _EVERY_SECONDS if self._done and not self._batch else None

    def abandon(self) -> None:
        """What was not acknowledged yet is not to be: it is not known whether anybody has seen what came of it."""
        self._done = []

    def close(self) -> None:
        """Acknowledge what is done, and give the rest back."""
        try:
            self.commit(self._committed, force=True)
        finally:
            with self._changed:
                self._closed = True
                self._changed.notify_all()
            if self._source is not None:
                self._source.give_back()
