"""`conveyor top`: everything that is there, live, on a terminal; or one look at it, as text or JSON."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, cast

from .exit_codes import CommandError, ExitCode
from .option import Option

if TYPE_CHECKING:
    from ..inspection.watch import Watch

__all__ = ["USAGE", "top"]

USAGE = """conveyor top [OPTIONS] [FILTER...]

Examples:
  conveyor top                          what runs here; h: help, q: quit
  conveyor top -d 0.2 jobs              five looks a second, of what is about jobs
  conveyor top --once                   one look, as text
  conveyor top --once --json | jq '.queues[] | {title, depth: .figures.depth}'
  conveyor top --json -d 10 >> log      a look every ten seconds, a line each
"""

_LOOKS = 240  # as many as a chart has room for


def top(
    *words: str,
    delay: Annotated[float, Option(("--delay", "-d"))] = 1.0,
    once: bool = False,
    as_json: Annotated[bool, Option(("--json",))] = False,
    most: Annotated[int | None, Option(("--most", "-n"))] = None,
) -> int:
    """Watch queues, topics and the processes that use them, as they are now.

    Nothing that is watched is disturbed. Without a terminal that can move its cursor it is one look, as text.

    Args:
        words: Show only what one of these occurs in: a name, a URL, a place in a program, a command, a pid.
        delay: Seconds between two looks.
        once: Look, print, and end.
        as_json: Print JSON, a line for each look: counts, bytes and seconds as plain numbers.
        most: Rows of each section, at most.
    """
    if not 0 < delay <= 86_400:
        raise CommandError(f"-d is {delay:g}; it must be seconds, more than 0 and a day at most")
    if most is not None and most < 1:
        raise CommandError(f"-n is {most}; it must be 1 or more")
    from ..inspection.watch import Watch

    watch = Watch(_LOOKS)
    if as_json:
        return _print_json(watch, delay, once, words, most)
    if once or not _can_draw():
        return _print_text(watch, words, most)
    from .watching.live import Live
    from .watching.text import glyphs_of_terminal

    live = Live(watch, delay, glyphs_of_terminal(), not os.environ.get("NO_COLOR"), words, most)
    live.run(sys.stdin.fileno(), sys.stdout.fileno())
    return ExitCode.OK


def _can_draw() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty() and not _is_dumb()


def _is_dumb() -> bool:
    return os.environ.get("TERM", "") in ("", "dumb", "unknown")


def _print_json(watch: Watch, delay: float, once: bool, words: Sequence[str], most: int | None) -> int:
    import json

    snapshot = watch.look_twice()
    while True:
        found = snapshot.as_dict()
        for name, entries in found.items():
            if isinstance(entries, list):
                found[name] = _kept(cast("list[dict[str, Any]]", entries), words)[:most]
        print(json.dumps(found), flush=True)
        if once:
            return ExitCode.OK
        time.sleep(delay)
        snapshot = watch.look()


def _kept(entries: list[dict[str, Any]], words: Sequence[str]) -> list[dict[str, Any]]:
    folded = [word.casefold() for word in words]
    return [
        entry
        for entry in entries
        if not folded
        or any(
            word in str(entry.get(name) or "").casefold()
            for word in folded
            for name in ("title", "name", "url", "place", "kind", "pid", "command")
        )
    ]


def _print_text(watch: Watch, words: Sequence[str], most: int | None) -> int:
    from .watching.canvas import Canvas, painted
    from .watching.overview import plain_lines
    from .watching.text import glyphs_of_terminal

    shown = sys.stdout.isatty() and not _is_dumb()
    width = os.get_terminal_size(sys.stdout.fileno()).columns or 80 if shown else None
    styles = Canvas.styles(not os.environ.get("NO_COLOR"), plain=not shown)
    for line, base in plain_lines(watch.look_twice(), glyphs_of_terminal(), words, most, width):
        print(painted(line, styles, base).rstrip())
    return ExitCode.OK
