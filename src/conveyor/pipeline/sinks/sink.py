"""Sink: where values end."""

from __future__ import annotations

from typing import Any, Protocol

__all__ = ["PlainSink", "Sink"]


class Sink(Protocol):
    """Takes values."""

    def take(self, values: list[Any]) -> int:
        """Take the first of these values; returns how many."""
        ...

    def flush(self) -> None:
        """See to it that what was taken outlives this process, where that means something."""
        ...

    def confirm(self) -> None:
        """Wait until nothing of what was taken before is on its way any more; in any thread.

        Raises:
            TimeoutError: it is waited for no longer, as `hurry` was called.
        """
        ...

    def hurry(self) -> None:
        """The run was cut short: wait a moment at most for what is on its way."""
        ...

    @property
    def pending(self) -> int:
        """Values that were taken and are on their way: the run lasts until there are none."""
        ...

    def close(self) -> None:
        """Nothing more will come."""
        ...

    def conclude(self, whole: bool) -> None:
        """The run has ended, after `close`; whole: well, with all that there was: what was written may be seen now."""
        ...

    @property
    def is_resumable(self) -> bool:
        """Whether a state file keeps its `place`: then what came of an item is taken when all of it is there."""
        ...

    @property
    def place(self) -> Any:
        """How far it is, right after `flush`: a later run takes back what is behind it."""
        ...

    @property
    def partial(self) -> str | None:
        """Where what was written lies after a run that did not end well; None: nowhere by itself."""
        ...

    def tell_end(self) -> None:
        """All that will ever be has come: whoever reads from where values ended may be told."""
        ...

    @property
    def result(self) -> Any:
        """What has become of all values, if they were made into something; else None."""
        ...


class PlainSink:
    """A sink that holds nothing back and makes nothing."""

    result: Any = None
    is_resumable: bool = False
    partial: str | None = None

    @property
    def place(self) -> Any:
        """None."""
        return None

    def conclude(self, whole: bool) -> None:
        """What was written was seen all the time."""

    def flush(self) -> None:
        """Nothing is held back."""

    def confirm(self) -> None:
        """Nothing is on its way."""

    def hurry(self) -> None:
        """Nothing is waited for."""

    @property
    def pending(self) -> int:
        """None."""
        return 0

    def close(self) -> None:
        """Nothing to close."""

    def tell_end(self) -> None:
        """Nobody is to be told."""
