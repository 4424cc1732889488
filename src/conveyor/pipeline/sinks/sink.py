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

    def close(self) -> None:
        """Nothing more will come."""
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

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """Nothing to close."""

    def tell_end(self) -> None:
        """Nobody is to be told."""
