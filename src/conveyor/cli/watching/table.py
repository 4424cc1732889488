"""Table: rows under columns of which as many are shown as there is room for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from .text import Glyphs, Line, Piece, padded, width_of

__all__ = ["Column", "Table"]

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Column(Generic[R]):
    """One column."""

    title: str
    width: int
    cell: Callable[[R, int], Piece]
    """Of a row, in so many cells: text and style."""
    sort: Callable[[R], Any] | None = None
    """What rows are ordered by, if they can be; a number: the largest comes first."""
    left: bool = False
    """Texts stand at the left end, numbers at the right."""
    grows: int = 0
    """How many cells wider it may become, before further columns appear."""
    rank: int = 0
    """Columns appear in this order: those of rank 0 always, the others while there is room."""
    drawn: bool = False
    """It is a bar: only for a terminal."""


class Table(Generic[R]):
    """Columns, chosen and fitted for a width.

    Args:
        columns: from left to right.
        width: of the whole, in cells; None: as wide as its contents, with all columns but those that are drawn.
        rows: which they are then fitted to.
        glyphs: what is drawn with.
    """

    def __init__(
        self, columns: Sequence[Column[R]], width: int | None, rows: Sequence[R], glyphs: Glyphs
    ) -> None:
        self._glyphs = glyphs
        if width is None:
            self.columns = [each for each in columns if not each.drawn]
            self._widths = [
                max([width_of(each.title), *(width_of(each.cell(row, 1000)[0]) for row in rows)])
                for each in self.columns
            ]
        else:
            self.columns = self._chosen(columns, width)
            self._widths = [each.width for each in self.columns]
            self._grow(width)

    @staticmethod
    def _chosen(columns: Sequence[Column[R]], width: int) -> list[Column[R]]:
        chosen = [each for each in columns if each.rank == 0]
        taken = sum(each.width + each.grows // 2 + 1 for each in chosen) - 1
        for each in sorted((each for each in columns if each.rank), key=lambda each: each.rank):
            if taken + 1 + each.width > width:
                break
            chosen.append(each)
            taken += 1 + each.width
        return [each for each in columns if each in chosen]

    def _grow(self, width: int) -> None:
        spare = width - sum(self._widths) - len(self._widths) + 1
        for place, each in enumerate(self.columns):
            more = min(each.grows, spare)
            if more > 0:
                self._widths[place] += more
                spare -= more
        if spare > 0:  # the last text column takes what is left, as commands are long
            for place in reversed(range(len(self.columns))):
                if self.columns[place].left and self.columns[place].grows:
                    self._widths[place] += spare
                    break

    def head(self, sorted_by: str = "", largest_first: bool = True) -> Line:
        """The line of titles; the one that rows are sorted by is marked."""
        mark = self._glyphs.down if largest_first else self._glyphs.up
        pieces: Line = []
        for place, (each, width) in enumerate(zip(self.columns, self._widths, strict=True)):
            marked = each.title == sorted_by != "" and width_of(each.title) < width
            title = f"{each.title}{mark}" if marked else each.title
            pieces.append((" " * bool(place) + padded(title, width, not each.left, self._glyphs), ""))
        return pieces

    def line(self, row: R) -> Line:
        """A row's cells."""
        pieces: Line = []
        for place, (each, width) in enumerate(zip(self.columns, self._widths, strict=True)):
            text, style = each.cell(row, width)
            if place:
                pieces.append((" ", ""))
            pieces.append((padded(text, width, not each.left, self._glyphs), style))
        return pieces
