"""quoted_at: how the places of a shell command are quoted, so that what is put in there can be written to fit."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeAlias

__all__ = ["Quoting", "quoted_at"]

Quoting: TypeAlias = Literal["", "'", '"', "(("]
"""Not at all, or inside of which quotes; or inside an arithmetic expression, where none may be."""

# What opens within what, and what closes it: `"$(basename "{}")"` is quoted inside, and not by the outer quotes.
_CLOSES = {"((": "))", "(( (": ")", "(": ")", "${": "}", "`": "`", '"': '"', "'": "'"}


def quoted_at(text: str, places: Iterable[int]) -> dict[int, Quoting]:
    """How each of these places of a command for a POSIX shell is quoted.

    Args:
        text: the command.
        places: indices into it.
    """
    wanted = sorted(places)
    found: dict[int, Quoting] = {}
    open_: list[str] = []
    at = 0
    for place in wanted:
        while at < place:
            at = _step(text, at, open_)
        found[place] = _quoting(open_)
    return found


def _quoting(open_: list[str]) -> Quoting:
    if open_ and open_[-1] == "'":
        return "'"
    # Within braces the quoting is that around them; within parentheses and back quotes it begins anew.
    for each in reversed(open_):
        if each == '"':
            return '"'
        if each in ("((", "(( ("):
            return "(("
        if each in ("(", "`"):
            return ""
    return ""


def _step(text: str, at: int, open_: list[str]) -> int:
    """Go over what begins at `at`, and note what it opens or closes."""
    here = text[at]
    inside = open_[-1] if open_ else ""
    if inside == "'":
        if here == "'":
            open_.pop()
        return at + 1
    if here == "\\":
        return at + 2
    if inside and text.startswith(_CLOSES[inside], at):
        open_.pop()
        return at + len(_CLOSES[inside])
    quoted = _quoting(open_) == '"'
    if text.startswith("${", at):
        open_.append("${")
        return at + 2
    if text.startswith("$((", at):
        open_.append("((")
        return at + 3
    if text.startswith("$(", at):
        open_.append("(")
        return at + 2
    if here == "`":
        open_.append("`")
    elif here == '"':
        open_.append('"')
    elif here == "(" and _quoting(open_) == "((":
        open_.append("(( (")
    elif not quoted and here in "'(":
        open_.append(here)
    elif not quoted and here == "#" and (at == 0 or text[at - 1] in " \t\n;&|("):
        end = text.find("\n", at)  # a comment
        return len(text) if end < 0 else end
    return at + 1
