"""Owner: the stage that a worker belongs to, as far as it concerns the worker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from ..base.failure import Failure
from ..flow.chunk import Chunk

__all__ = ["StagePort"]


class StagePort(Protocol):
    """The stage that a hand belongs to, as far as it concerns the hand."""

    now: Callable[[], float]
    """The time, by the clock of the run."""

    def grown(self, chunk: Chunk, count: int, by: int) -> None:
        """A run got results."""
        ...

    def split(self, chunk: Chunk, number: int) -> Chunk:
        """Cut a run in two."""
        ...

    def come_back(self, chunks: list[Chunk]) -> None:
        """Runs that the hand has not begun."""
        ...

    keyed: bool
    """Whether the worker itself tries an item again, for others of its key wait for it."""

    @property
    def closed(self) -> bool:
        """Whether nothing more is to be begun."""
        ...

    def fanned_out(self, origin: Any, count: int) -> None:
        """An item that came of `origin` became so many."""
        ...

    def failed(self, failure: Failure, link: int, released: bool, tried: int) -> tuple[bool, Any]:
        """Decide on an item that failed: whether it is to be tried again, else what takes its place.

        In the first case the second value is the failure, to be passed on to `retry`.

        Args:
            failure: the failure.
            link: which of the stage's functions raised.
            released: some of its results were handed out already, so it cannot be tried again.
            tried: how often it had been tried before.
        """
        ...

    def retry(self, chunk: Chunk, failure: Failure) -> None:
        """A run of one item, for which `failed` has said that it is to be tried again."""
        ...

    @property
    def stage(self) -> str:
        """The stage's name."""
        ...

    @property
    def shares_memory(self) -> bool:
        """Whether an item is of no further use when a worker has begun it."""
        ...
