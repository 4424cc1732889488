"""Live: looks, draws, and does what keys ask for, until one of them asks for the end."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from functools import partial
from time import monotonic

from ...inspection.snapshot import Snapshot
from ...inspection.watch import Watch
from .canvas import Canvas
from .detail import detail_lines
from .help_page import help_lines
from .keys import Keys
from .overview import Overview, summary
from .raw_terminal import RawTerminal
from .rows import Row
from .text import Glyphs, Line, clipped, width_of

__all__ = ["Live"]

_KEY_PAUSE = 0.05  # seconds between the pieces of one key, at most
_FOOTER = "F1 help  / find  \\ filter  <> sort  Tab section  Enter detail  p pause  q quit"
_BACK = "Escape back  up/down scroll  p pause"


class Live:
    """A view on a terminal.

    Args:
        watch: whose looks are shown.
        seconds: between two looks.
        glyphs: what is drawn with.
        colour: whether colours may be used.
        words, most: see `Overview`.
    """

    def __init__(
        self,
        watch: Watch,
        seconds: float,
        glyphs: Glyphs,
        colour: bool,
        words: Sequence[str] = (),
        most: int | None = None,
    ) -> None:
        self._watch, self._seconds, self._glyphs = watch, seconds, glyphs
        self._canvas = Canvas(Canvas.styles(colour))
        self._overview = Overview(glyphs, words, most)
        self._given = tuple(words)
        self._keys = Keys()
        self._snapshot: Snapshot = watch.look()
        self._detail: Row | None = None
        self._helps = False
        self._scrolled = 0
        self._paused = False
        self._done = False
        self._prompt = ""  # "find" or "filter" while one types
        self._typed = ""
        self._found = ""
        self._message = ""

    def run(self, keys_from: int, draw_on: int) -> None:
        """Until `q`. A signal that asks for the end is obeyed when the terminal is as before.

        Raises:
            OSError: nobody sees the terminal any more.
        """
        with RawTerminal(keys_from, draw_on) as terminal:
            self._overview.show(self._snapshot)
            # The second look comes early: before it nothing is known of rates.
            next_look = monotonic() + min(self._seconds, 0.25)
            while not self._done and terminal.ending is None:
                self._draw(terminal)
                pause = _KEY_PAUSE if self._keys.is_in_the_middle else next_look - monotonic()
                data = terminal.wait(pause)
                if data is None:
                    break
                for key in self._keys.feed(data) if data else self._after_pause(pause):
                    self._press(key)
                if terminal.changed():
                    self._canvas.forget()
                if monotonic() >= next_look:
                    next_look = monotonic() + self._seconds
                    if not self._paused:
                        self._look()
            ending = terminal.ending
        if ending is not None and ending != signal.SIGINT:
            signal.signal(ending, signal.SIG_DFL)
            os.kill(os.getpid(), ending)

    def _after_pause(self, pause: float) -> list[str]:
        return self._keys.nothing_more() if pause == _KEY_PAUSE and self._keys.is_in_the_middle else []

    def _look(self) -> None:
        self._snapshot = self._watch.look()
        self._overview.show(self._snapshot)

    def _draw(self, terminal: RawTerminal) -> None:
        width, height = terminal.size
        lines: list[tuple[Line, str]] = [self._head(width)]
        space = max(height - 2, 1)
        pages: Callable[[], list[Line]] | None = None
        if self._helps:
            pages = help_lines
        elif self._detail is not None:
            pages = partial(self._detail_page, width)
        if pages is None:
            lines += self._overview.lines(width, space, self._found)
        else:
            page = pages()
            self._scrolled = max(min(self._scrolled, len(page) - space), 0)
            lines += [(_cut(line, width, self._glyphs), "") for line in page[self._scrolled :][:space]]
        lines = [*lines[: height - 1], *[([], "")] * (height - 1 - len(lines)), self._foot(width)]
        if text := self._canvas.draw(lines[:height]):
            terminal.write(text)

    def _detail_page(self, width: int) -> list[Line]:
        row = self._detail
        assert row is not None
        now = self._overview.by_id(row.id)
        if now is not None:
            self._detail = row = now
        history = self._watch.history(row.id)
        lines = detail_lines(row, self._snapshot, history, self._glyphs, width)
        return lines if now is not None else [[("It is gone. This is how it was:", "warn")], *lines]

    def _head(self, width: int) -> tuple[Line, str]:
        text = f"conveyor top - {summary(self._snapshot)}"
        state = "PAUSED" if self._paused else f"every {self._seconds:g}s"
        text = clipped(text, width - len(state) - 1, self._glyphs)
        return [
            (text, "bold"),
            (" " * max(width - width_of(text) - len(state), 1), ""),
            (state, "warn" if self._paused else "dim"),
        ], ""

    def _foot(self, width: int) -> tuple[Line, str]:
        if self._prompt:
            text = f"{self._prompt}: {self._typed}_"
        elif self._message:
            text = self._message
        else:
            text = _BACK if self._helps or self._detail is not None else _FOOTER
            if self._overview.words:
                text = f"[{' '.join(self._overview.words)}]  {text}"
        return [(clipped(text, width, self._glyphs), "")], "" if self._prompt else "dim"

    def _press(self, key: str) -> None:
        self._message = ""
        if self._prompt:
            self._type(key)
        elif key == "redraw":
            self._canvas.forget()
        elif key in ("p", " "):
            self._paused = not self._paused
            if not self._paused:
                self._look()
        elif key == "F10":
            self._done = True
        elif self._helps or self._detail is not None:
            self._press_on_page(key)
        else:
            self._press_on_overview(key)

    def _press_on_page(self, key: str) -> None:
        steps = {"up": -1, "down": 1, "page up": -10, "page down": 10, "home": -10_000, "end": 10_000}
        if key in ("q", "escape", "enter", "left", "backspace") or (self._helps and key in ("h", "?", "F1")):
            if self._helps:
                self._helps = False
            else:
                self._detail = None
            self._scrolled = 0
        elif key in ("h", "?", "F1"):
            self._helps, self._scrolled = True, 0
        elif key in steps:
            self._scrolled = max(self._scrolled + steps[key], 0)

    def _press_on_overview(self, key: str) -> None:
        overview = self._overview
        if overview.move(key):
            return
        if key == "q":
            self._done = True
        elif key in ("h", "?", "F1"):
            self._helps, self._scrolled = True, 0
        elif key in ("/", "F3"):
            self._prompt, self._typed = "find", ""
        elif key in ("\\", "F4"):
            self._prompt, self._typed = "filter", ""
        elif key == "n" and self._found:
            if not overview.find(self._found, again=True):
                self._message = f"there is no {self._found}"
        elif key in ("<", ">", "F6"):
            self._message = overview.order(-1 if key == "<" else 1)
            overview.show(self._snapshot)
        elif key == "I":
            overview.invert()
            overview.show(self._snapshot)
        elif key == "enter":
            self._detail, self._scrolled = overview.row, 0
        elif key == "escape":
            self._found = ""
            self._filter(self._given)

    def _type(self, key: str) -> None:
        if key == "escape":
            self._prompt = self._found = ""
        elif key == "enter":
            if self._prompt == "filter":
                self._filter(tuple(self._typed.split()) or self._given)
            elif not self._overview.find(self._typed):
                self._message = f"there is no {self._typed}"
            self._prompt = ""
        elif key == "backspace":
            self._typed = self._typed[:-1]
        elif len(key) == 1:
            self._typed += key
        if self._prompt == "find":
            self._found = self._typed
            self._overview.find(self._typed)

    def _filter(self, words: tuple[str, ...]) -> None:
        self._overview.words = words
        self._overview.show(self._snapshot)


def _cut(line: Line, width: int, glyphs: Glyphs) -> Line:
    left = width
    kept: Line = []
    for text, style in line:
        piece = clipped(text, left, glyphs)
        kept.append((piece, style))
        left -= width_of(piece)
        if left <= 0:
            break
    return kept
