"""Acknowledger: settles the leases of a source's items when what came of them has reached an end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from .origin_counter import OriginCounter, places

__all__ = ["Acknowledger", "LeasedItems"]

_EVERY_SECONDS = 0.02
_MOST = 1000


class LeasedItems(Protocol):
    """A source whose items are leased, by their places."""

    def acknowledge(self, numbers: list[int]) -> None:
        """These are dealt with."""
        ...

    def reject(self, number: int, reason: str) -> None:
        """This one is given up."""
        ...

    def give_back(self) -> None:
        """All that are not settled go back to their queue."""
        ...


class Acknowledger(OriginCounter):
    """Acknowledges items of a leased source once everything that came of them is at an end and flushed there.

    Args:
        now: the time as the run begins.
    """

    def __init__(self, now: float) -> None:
        super().__init__()
        self._source: LeasedItems | None = None
        self._flush: Callable[[], object] = lambda: None
        self._done: list[int] = []
        self._committed = now

    def settle_for(self, source: LeasedItems, flush: Callable[[], object]) -> None:
        """Say whose items they are.

        Args:
            source: the source.
            flush: called before items are acknowledged: what sinks hold back must be out by then.
        """
        self._source, self._flush = source, flush

    def item_done(self, number: int) -> None:
        """Nothing that came of this item is under way any more."""
        self._done.append(number)

    def reject(self, origin: Any, reason: str) -> None:
        """The items that it came of are given up, and become dead letters of their queue."""
        assert self._source is not None
        for number in places(origin):
            self._source.reject(number, reason)

    def commit(self, now: float, force: bool = False) -> None:
        """Acknowledge what is done, if it is time to."""
        if not self._done or not (
            force or len(self._done) >= _MOST or now - self._committed >= _EVERY_SECONDS
        ):
            return
        self._committed = now
        assert self._source is not None
        self._flush()
        done, self._done = self._done, []
        self._source.acknowledge(done)

    def deadline(self) -> float | None:
        """What is done is acknowledged soon: others may wait for it to end."""
        return self._committed + _EVERY_SECONDS if self._done else None

    def abandon(self) -> None:
        """What was not acknowledged yet is not to be: it is not known whether anybody has seen what came of it."""
        self._done = []

    def close(self) -> None:
        """Acknowledge what is done, and give the rest back."""
        try:
            self.commit(self._committed, force=True)
        finally:
            if self._source is not None:
                self._source.give_back()
