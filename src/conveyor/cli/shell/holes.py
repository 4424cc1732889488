"""Hole: a place in a command that is filled in for each item, as `{}` or `{2/.}`."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

__all__ = ["Hole", "find_holes"]

_HOLE = re.compile(r"\{(?:(?P<place>-?\d+)?(?P<part>\.|//|/\.|/)?|(?P<figure>#|%))\}")
_PERL = re.compile(r"\{=.*?=\}", re.DOTALL)
_EXTENSION = re.compile(rb"\.[^/.]+\Z")


def _without_extension(text: bytes) -> bytes:
    return _EXTENSION.sub(b"", text)


def _name(text: bytes) -> bytes:
    return text.rpartition(b"/")[2]


def _folder(text: bytes) -> bytes:
    folder, slash, _ = text.rpartition(b"/")
    return folder or (slash or b".")


_PARTS: dict[str, Callable[[bytes], bytes]] = {
    "": lambda text: text,
    ".": _without_extension,
    "/": _name,
    "//": _folder,
    "/.": lambda text: _without_extension(_name(text)),
}


@dataclass(frozen=True, slots=True)
class Hole:
    """What is to stand there."""

    start: int
    """Where it begins in the template."""
    end: int
    """Where the template goes on."""
    place: int | None
    """Which argument, from 1, or from the last if it is negative; None: all of them."""
    part: str
    """Which part of it: "", ".", "/", "//" or "/."; or "#" for the item's number, "%" for the slot's."""

    def words(self, arguments: Sequence[bytes], number: int, slot: int) -> list[bytes]:
        """What to put in: one word for each argument that it stands for; an argument that is missing is empty.

        Args:
            arguments: of the item.
            number: of the item, from 1.
            slot: of the place that runs it, from 1.
        """
        if self.part == "#":
            return [b"%d" % number]
        if self.part == "%":
            return [b"%d" % slot]
        cut = _PARTS[self.part]
        if self.place is None:
            return [cut(text) for text in arguments]
        at = self.place - 1 if self.place > 0 else len(arguments) + self.place
        return [cut(arguments[at]) if 0 <= at < len(arguments) else b""]


def find_holes(text: str, braces: str = "{}") -> list[Hole]:
    """The holes of a template, in order.

    Args:
        text: the template.
        braces: what stands for `{}`, as GNU parallel's `-I` says it.

    Raises:
        ValueError: it has one that is Perl, as GNU parallel's may have.
    """
    if (perl := _PERL.search(text)) is not None:
        raise ValueError(
            f"{perl[0]} is Perl, which is not run here; {{}} {{.}} {{/}} {{//}} {{/.}} {{#}} {{%}} {{1}} are"
        )
    holes = [
        Hole(
            found.start(),
            found.end(),
            int(found["place"]) if found["place"] else None,
            found["figure"] or found["part"] or "",
        )
        for found in _HOLE.finditer(text)
        if found["place"] is None or int(found["place"]) != 0
    ]
    if braces == "{}":
        return holes
    holes = [hole for hole in holes if text[hole.start : hole.end] != "{}"]
    holes += [Hole(found.start(), found.end(), None, "") for found in re.finditer(re.escape(braces), text)]
    return sorted(holes, key=lambda hole: hole.start)
