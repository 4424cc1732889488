"""Encoder: how values become the bytes of a file."""

from __future__ import annotations

from typing import Any, Protocol

__all__ = ["Encoder"]


class Encoder(Protocol):
    """Makes bytes of values."""

    def encode(self, values: list[Any]) -> bytes:
        """The bytes of some values.

        Raises:
            TypeError, ValueError: one of them cannot be written; the text names it.
        """
        ...

    def end(self) -> bytes:
        """What is still missing when there are no more."""
        ...

    @property
    def memory(self) -> Any:
        """What a later run must know to go on behind what was encoded; None: nothing."""
        ...
