"""IdentityWords: where an engine says to a worker who it is, in a few words of its status page."""

from __future__ import annotations

from typing import Any

__all__ = ["IdentityWords"]


class IdentityWords:
    """Four words that the engine writes and the worker reads.

    Args:
        words: of unsigned 64 bits; a list, or memory that both have.
        first: the first of the four.
    """

    __slots__ = ("_first", "_words")

    def __init__(self, words: Any, first: int = 0) -> None:
        self._words = words
        self._first = first

    def write(self, rank: int, start: int, seed: int) -> None:
        """Before the worker begins."""
        at = self._first
        self._words[at], self._words[at + 1], self._words[at + 2] = rank, start, seed

    def tell_last(self) -> None:
        """All other workers of its stage have torn down."""
        self._words[self._first + 3] = 1

    @property
    def rank(self) -> int:
        """Its number among the workers of its stage, from 0."""
        return int(self._words[self._first])

    @property
    def start(self) -> int:
        """How many workers of that number there were, it included."""
        return int(self._words[self._first + 1])

    @property
    def seed(self) -> int:
        """A number that no other worker has."""
        return int(self._words[self._first + 2])

    @property
    def is_last(self) -> bool:
        """Whether all other workers of its stage have torn down."""
        return bool(self._words[self._first + 3])
