"""Canvas: the lines that stand on a terminal, of which those are written again that have changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

__all__ = ["Canvas", "painted"]

# By style: what selects it (ECMA-48). Weight and inversion are no colours: they stay where NO_COLOR asks for none.
_PLAIN = {"bold": "1", "dim": "2", "head": "1;7", "cursor": "7", "found": "4"}
_COLOURS = {"good": "32", "warn": "33", "bad": "31;1", "name": "36", "bar": "32"}
_RESET = "\x1b[0m"


def painted(line: Sequence[tuple[str, str]], styles: Mapping[str, str], base: str = "") -> str:
    """The line with what makes a terminal show its styles.

    Args:
        line: pieces of text, and the names of their styles.
        styles: see `Canvas.styles`.
        base: the style under all pieces.
    """
    below = styles.get(base, "")
    text = ""
    for piece, style in line:
        codes = ";".join(filter(None, (below, styles.get(style, ""))))
        text += f"\x1b[{codes}m{piece}{_RESET}" if codes else piece
    return text


class Canvas:
    """What was drawn, so that the next drawing writes only the difference.

    Args:
        styles: see `styles`.
    """

    def __init__(self, styles: Mapping[str, str]) -> None:
        self._styles = styles
        self._lines: list[str] = []

    @staticmethod
    def styles(colour: bool, plain: bool = False) -> Mapping[str, str]:
        """How styles are shown.

        Args:
            colour: with colours.
            plain: not at all: for what is no terminal.
        """
        if plain:
            return {}
        return {**_PLAIN, **_COLOURS} if colour else _PLAIN

    def forget(self) -> None:
        """What is on the terminal is not known any more: all of it is drawn afresh."""
        self._lines = []

    def draw(self, lines: Sequence[tuple[Sequence[tuple[str, str]], str]]) -> str:
        """What to write so that these lines stand there.

        Args:
            lines: from the top, as many as the terminal has: pieces, and the style under them.
        """
        new = [painted(line, self._styles, base) for line, base in lines]
        old = self._lines
        text = "" if len(old) == len(new) else "\x1b[2J"
        if text:
            old = []
        for row, line in enumerate(new):
            if row >= len(old) or old[row] != line:
                text += f"\x1b[{row + 1};1H\x1b[K{line}"
        self._lines = new
        return text
