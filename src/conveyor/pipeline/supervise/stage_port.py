"""StagePort: what a worker handle may ask of its stage."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from ..base.failure import Failure
from ..base.retry import Retry
from ..flow.chunk import Chunk

__all__ = ["StagePort"]


class StagePort(Protocol):
    """What a worker handle may ask of its stage."""

    now: Callable[[], float]
    """The time, by the clock of the run."""

    def grown(self, chunk: Chunk, count: int, by: int) -> None:
        """A chunk got results."""
        ...

    def split(self, chunk: Chunk, number: int) -> Chunk:
        """Cut a chunk in two."""
        ...

    def come_back(self, chunks: list[Chunk], slot: int | None = None) -> None:
        """Chunks that a worker had and has not begun.

        Args:
            chunks: them, in the order of the input.
            slot: the slot of their keys; None: they have none.
        """
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

    def failed(self, failure: Failure, link: int, chunk: Chunk) -> Any:
        """What becomes of an item that failed: a `Retry`, or what takes its place among the results.

        Args:
            failure: the failure.
            link: which of the stage's functions raised.
            chunk: the item, alone.
        """
        ...

    def retry(self, chunk: Chunk, verdict: Retry) -> None:
        """A chunk of one item is to be tried again, as `failed` has said."""
        ...

    @property
    def stage(self) -> str:
        """The stage's name."""
        ...

    @property
    def identity(self) -> tuple[int, int, int]:
        """Rank, start and seed of the worker that is started now; see `IdentityWords`."""
        ...

    seeded: bool
    """Whether its items go to workers with their places in its input."""

    def other_form(self, item: Any, error: Exception) -> Any:
        """What can be sent in the place of an item that cannot be; None: nothing.

        Args:
            item: the item.
            error: why it cannot be; it may be told more.
        """
        ...

    def said(self, pid: int, what: str, data: bytes) -> None:
        """A worker has logged, warned of or printed something; see `Voice`."""
        ...

    @property
    def executor(self) -> Any:
        """Who runs it, if that is not this program."""
        ...

    @property
    def one_at_a_time(self) -> bool:
        """Whether an item is to travel alone, since each has a time limit."""
        ...

    @property
    def shares_memory(self) -> bool:
        """Whether an item is of no further use when a worker has begun it."""
        ...
