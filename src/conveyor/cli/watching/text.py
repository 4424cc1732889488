"""Text on a grid of cells: styled pieces, their width, and what stands for what a terminal cannot show."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "ASCII",
    "UNICODE",
    "Glyphs",
    "Line",
    "Piece",
    "clipped",
    "glyphs_of_terminal",
    "padded",
    "width_of",
]

Piece = tuple[str, str]
"""Text and the name of its style, see `Canvas`."""
Line = list[Piece]


@dataclass(frozen=True, slots=True)
class Glyphs:
    """What is drawn with."""

    eighths: str
    """Of a cell from empty to full, as many as there are."""
    rest: str
    """Of a bar's empty part."""
    heights: str
    """Of a chart's cells, from nothing to all."""
    down: str
    up: str
    cut: str
    """Stands for what was cut off."""
    branch: str
    last_branch: str
    is_ascii: bool

    def bar(self, fraction: float, width: int) -> str:
        """So many cells, full up to this fraction. What is not empty shows, and what is not full shows, too."""
        steps = len(self.eighths) - 1
        filled = round(min(max(fraction, 0.0), 1.0) * width * steps)
        if fraction > 0:
            filled = max(filled, 1)
        if fraction < 1:
            filled = min(filled, width * steps - 1)
        whole, part = divmod(filled, steps)
        text = self.eighths[-1] * whole + (self.eighths[part] if part else "")
        return text + self.rest * (width - len(text))

    def chart(self, values: Iterable[float]) -> str:
        """A cell for each value, as high as it is beside the largest."""
        found = list(values)
        most = max(found, default=0.0)
        last = len(self.heights) - 1
        cells = (0 if value <= 0 else max(round(value / most * last), 1) for value in found)
        return "".join(self.heights[cell] for cell in cells)


UNICODE = Glyphs(" ▏▎▍▌▋▊▉█", "·", " ▁▂▃▄▅▆▇█", "▼", "▲", "…", "├─", "└─", is_ascii=False)
ASCII = Glyphs(" #", ".", " .:-=+*#", "v", "^", "~", "|-", "`-", is_ascii=True)


def glyphs_of_terminal(environ: Path = Path("/proc/self/environ")) -> Glyphs:
    """What the locale that we were started with can show. Python may have set another one since (PEP 538), which says
    nothing about the terminal."""
    try:
        words = (word.partition(b"=") for word in environ.read_bytes().split(b"\0"))
        found: Mapping[str, str] = {os.fsdecode(name): os.fsdecode(value) for name, _, value in words}
    except OSError:
        found = os.environ
    locale = found.get("LC_ALL") or found.get("LC_CTYPE") or found.get("LANG") or ""
    return UNICODE if locale.lower().replace("-", "").partition("@")[0].endswith("utf8") else ASCII


def width_of(text: str) -> int:
    """How many cells it takes."""
    return len(text) if text.isascii() else sum(map(_cells, text))


def clipped(text: str, width: int, glyphs: Glyphs) -> str:
    """The text in as many cells at most; one that is longer ends in a mark."""
    if glyphs.is_ascii and not text.isascii():
        text = text.encode("ascii", "replace").decode()
    if width_of(text) <= width:
        return text
    if width <= 0:
        return ""
    left, kept = width - 1, ""
    for character in text:
        left -= _cells(character)
        if left < 0:
            break
        kept += character
    return kept + glyphs.cut


def padded(text: str, width: int, right: bool, glyphs: Glyphs) -> str:
    """The text in exactly as many cells, to their right or left end."""
    text = clipped(text, width, glyphs)
    spaces = " " * (width - width_of(text))
    return spaces + text if right else text + spaces


def _cells(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
