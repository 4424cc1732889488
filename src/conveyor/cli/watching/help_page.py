"""The page of help."""

from __future__ import annotations

from .text import Line

__all__ = ["help_lines"]

_KEYS = (
    ("arrows, PgUp, PgDn, Home, End", "move"),
    ("Tab", "to the next section"),
    ("Enter", "all about the row under the cursor; Escape or q leads back"),
    ("/, F3", "find; n: the next one"),
    ("\\, F4", "show only what matches; Escape: all again"),
    ("<, >, F6", "order by another column"),
    ("I", "turn the order round"),
    ("p, Space", "pause the display"),
    ("Ctrl-L", "draw it all again"),
    ("q, F10", "quit"),
)
_WORDS = (
    ("FULL", "of the bound, in items or bytes; without one, of the most that ever waited"),
    ("OLDEST", "how long the oldest item waits; >12s: it was there before"),
    ("P50 P99", "how long items waited that were taken in the last minute"),
    ("PUT GET", "processes that have put, that have tried to get"),
    ("WAITS", "for an item or for room, the longest, and how many threads"),
    ("LENT", "memory in which arrays lie that were received"),
    ("LOAD", "the share of its workers' time that a stage was busy, in the last seconds"),
    ("ITEM", "how long a worker has been at the item that it has"),
    ("LATELY", "what it was at, a letter for half a second: busy, idle, retrying, setup, gone"),
    ("BEHIND", "how long ago the slowest subscriber's next event was published"),
)


def help_lines() -> list[Line]:
    """Its lines."""
    lines: list[Line] = [[("Keys", "bold")]]
    lines += [[(f"  {key:<31}", "name"), (text, "")] for key, text in _KEYS]
    lines += [[], [("Columns", "bold")]]
    lines += [[(f"  {word:<9}", "name"), (text, "")] for word, text in _WORDS]
    return lines
