"""Ring: what was measured at the last so many moments."""

from __future__ import annotations

from array import array

__all__ = ["Ring"]


class Ring:
    """A row of numbers for each moment, the newest `size` of them; its memory is taken once.

    Args:
        size: moments.
        width: numbers of a moment, its time in front.
    """

    __slots__ = ("_count", "_numbers", "_size", "_width")

    def __init__(self, size: int, width: int) -> None:
        self._size, self._width = size, width
        self._numbers = array("d", bytes(8 * size * width))
        self._count = 0

    def __len__(self) -> int:
        return min(self._count, self._size)

    def add(self, *row: float) -> None:
        """Remember a moment, and forget the oldest when there is no room."""
        at = self._count % self._size * self._width
        self._numbers[at : at + self._width] = array("d", row)
        self._count += 1

    def rows(self, since: float = 0.0) -> list[list[float]]:
        """The moments in order, those after the time `since`."""
        found: list[list[float]] = []
        for number in range(self._count - len(self), self._count):
            at = number % self._size * self._width
            row = self._numbers[at : at + self._width].tolist()
            if row[0] > since:
                found.append(row)
        return found

    def last(self, column: int, most: int) -> list[float]:
        """One column of the newest `most` moments."""
        first = self._count - min(len(self), most)
        return [
            self._numbers[number % self._size * self._width + column] for number in range(first, self._count)
        ]
