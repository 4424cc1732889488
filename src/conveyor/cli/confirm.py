"""Asking before something is destroyed."""

from __future__ import annotations

import sys

from .exit_codes import CommandError, ExitCode

__all__ = ["confirm", "counted"]


def confirm(doing: str, done: str, what: str, force: bool) -> None:
    """Ask whether it is to be done, unless that was said before.

    Args:
        doing: the verb, as in "remove".
        done: as it is said of what was not done: "removed".
        what: names the thing, and how many items are concerned.
        force: do not ask.

    Raises:
        CommandError: the answer was no, or nobody is there to ask.
    """
    if force:
        return
    if not sys.stdin.isatty():
        raise CommandError(f"not {done}: {what}; pass -f, as nobody is there to ask", ExitCode.REFUSED)
    print(f"{doing.capitalize()} {what}? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise CommandError(f"not {done}: {what}", ExitCode.REFUSED)


def counted(count: int, what: str) -> str:
    """A number of things in words: 1 item, 1,234 items."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"
