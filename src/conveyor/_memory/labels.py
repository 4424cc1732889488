"""What a piece of shared memory is called, and the line that made it: told to those who look from outside."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, TypeVar, cast

if TYPE_CHECKING:
    from .._native import Region, Segment

__all__ = ["checked_label", "fitted", "mark", "place_outside"]

M = TypeVar("M", "Segment", "Region")

_MOST = 63  # bytes
_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep  # noqa: PTH100, PTH120 - at import
# What stands between a program and us.
_BETWEEN = (_PACKAGE, os.path.join(os.path.dirname(os.__file__), "multiprocessing") + os.sep, "<frozen ")  # noqa: PTH118, PTH120


def checked_label(label: str | None) -> str:
    """The label, "" for None.

    Raises:
        TypeError, ValueError: it cannot be one.
    """
    if label is None:
        return ""
    if not isinstance(cast("object", label), str):
        raise TypeError(f"label is {label!r}; it must be a str, or None")
    if len(label.encode("utf-8", "surrogatepass")) > _MOST or not label.isprintable():
        raise ValueError(f"label is {label!r}; it must be printable, of at most {_MOST} bytes")
    return label


def fitted(text: str) -> str:
    """As much of any text as a label can be."""
    printable = "".join(character if character.isprintable() else "?" for character in text)
    return printable.encode("utf-8", "replace")[:_MOST].decode("utf-8", "ignore")


def mark(memory: M, label: str | None = None) -> M:
    """Write the label of fresh memory, and where in the program it was made.

    Args:
        memory: nobody else has it yet.
        label: as `checked_label` gives it; None: none.
    """
    memory.set_label(label or "", place_outside())
    return memory


def place_outside() -> str:
    """The innermost line of the program that called us, as `jobs.py:12`: the last two parts of its path; "" if there
    is none."""
    frame = sys._getframe(1)  # pyright: ignore[reportPrivateUsage]
    while (path := frame.f_code.co_filename).startswith(_BETWEEN):
        if (caller := frame.f_back) is None:
            return ""
        frame = caller
    end = path.rfind(os.sep)
    start = path.rfind(os.sep, 0, end) if end > 0 else -1
    return f"{path[start + 1 :]}:{frame.f_lineno}".encode("utf-8", "replace").decode()
