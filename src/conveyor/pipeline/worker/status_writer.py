"""StatusWriter: where a worker notes what it does, for its engine to see."""

from __future__ import annotations

from typing import Protocol

from .identity_words import IdentityWords

__all__ = ["LapCounter", "StatusWriter"]


class LapCounter(Protocol):
    """Counts items and the time that they take; see `Meter`."""

    def idle(self) -> None:
        """There is no current item."""
        ...

    def begin(self) -> None:
        """An item has come after a wait."""
        ...

    def pause(self) -> None:
        """The current item is put aside, until `begin`."""
        ...

    def lap(self) -> int:
        """The current item is done; returns the nanoseconds that it took if that is worth telling, else 0."""
        ...


class StatusWriter(Protocol):
    """What a worker writes to; `StatusPage` is one in shared memory."""

    def note_setup(self, begins: bool) -> None:
        """Its setup begins, or is done."""
        ...

    def note_teardown(self) -> None:
        """Its teardown begins."""
        ...

    def note_link(self, position: int) -> None:
        """Say which of its functions is at work."""
        ...

    def note_attempt(self, number: int) -> None:
        """Say how often it has begun the current item, if it tries items again by itself."""
        ...

    def meter(self) -> LapCounter:
        """What counts its items; from now on it works or waits."""
        ...

    @property
    def unwanted(self) -> bool:
        """Whether nobody wants what else comes of the current item."""
        ...

    @property
    def identity(self) -> IdentityWords:
        """Who the worker is."""
        ...

    def memory(self) -> int:
        """Bytes that it has to itself: no shared memory, no files, and not what a copy of the program began with."""
        ...
