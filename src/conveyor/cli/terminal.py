"""Terminal: what `map` says on standard error, and the progress line under it."""

from __future__ import annotations

import contextlib
import os
import sys
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from .map_figures import Figures

__all__ = ["Terminal", "clock", "short"]

_ERASE = "\r\x1b[2K"
_BAR = 16
_EVERY = 0.1  # seconds between two drawings


class Terminal:
    """Standard error: messages, and below them one line of progress, if asked for.

    Everything is written with one unbuffered system call a time, so that a signal handler may speak too.

    Args:
        progress: draw the line; it needs a terminal that can move the cursor.
    """

    def __init__(self, progress: bool) -> None:
        self._console: Console | None = None
        self._drawn = False
        self._at = 0.0
        if progress:
            from rich.console import Console

            console = Console(stderr=True, highlight=False)
            if not console.is_dumb_terminal:
                self._console = console

    @property
    def has_progress(self) -> bool:
        """Whether there is a progress line."""
        return self._console is not None

    def say(self, message: str) -> None:
        """Write a message on lines of its own, above the progress line."""
        _write((_ERASE if self._drawn else "") + message + "\n")
        self._drawn = False
        self._at = 0.0

    def make_way(self) -> None:
        """Take the progress line away, for somebody else to write there."""
        if self._drawn:
            _write(_ERASE)
            self._drawn = False
            self._at = 0.0

    def draw(self, report: Figures, fraction: float | None) -> None:
        """Draw the progress line, unless it was drawn just now.

        Args:
            report: the figures.
            fraction: how much of the input has been read, 0 to 1; None: not known.
        """
        if self._console is None or monotonic() - self._at < _EVERY:
            return
        from rich.text import Text

        line = Text(no_wrap=True, overflow="ellipsis")
        if fraction is not None:
            full = min(int(fraction * _BAR), _BAR)
            line.append("━" * full, "cyan")
            line.append("─" * (_BAR - full), "dim")
            line.append(f" {fraction:4.0%}  ")
        line.append(f"{report.done:,}", "bold")
        line.append(f" done  {report.rate:,.0f}/s")
        if report.failed or report.lost:
            line.append(f"  {report.failed + report.lost:,} failed", "bold red")
        line.append(f"  {report.in_flight:,} in flight")
        line.append(f"  {report.workers} worker{'' if report.workers == 1 else 's'}  {clock(report.seconds)}")
        line.truncate(max(self._console.width - 1, 1), overflow="ellipsis")
        with self._console.capture() as drawn:
            self._console.print(line, end="")
        _write(_ERASE + drawn.get())
        self._drawn = True
        self._at = monotonic()


def clock(seconds: float) -> str:
    """A time span as on a clock: 0:07, 12:34, 1:02:03."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def short(line: bytes, most: int = 80) -> str:
    """An input line as a message may show it: quoted, escaped, and cut in the middle if it is long."""
    text = line[: 4 * most].decode("utf-8", "backslashreplace")
    text = repr(text)
    if len(line) > 4 * most or len(text) > most:
        return f"{text[: most - 1]}… ({len(line):,} bytes)"
    return text


def _write(text: str) -> None:
    data = text.encode(sys.stderr.encoding if sys.stderr else "utf-8", "backslashreplace")
    with contextlib.suppress(OSError):  # nobody listens: that must not stop the work
        while data:
            data = data[os.write(2, data) :]
