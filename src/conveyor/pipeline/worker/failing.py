"""What a worker tells of an exception."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from types import FrameType
from typing import Any, Literal, TypeAlias

__all__ = ["Here", "describe_failure", "place_of", "tell_failure"]

Here: TypeAlias = bool | Literal["inline"]
"""Whether whoever is told of an exception is in this process; "inline": and in this thread."""

# Characters of an exception's text, and of its traceback, that are told beside the exception itself, which has all.
_MOST_TEXT = 64 * 1024

_PACKAGE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # noqa: PTH100, PTH120 - cheap at start


def tell_failure(
    put: Callable[[Any], None],
    kind: int,
    link: int,
    attempts: int,
    error: BaseException,
    here: Here = False,
    what: str = "",
) -> None:
    """Put a message of this kind on an exception that is being handled, whatever that carries.

    Args:
        put: takes messages.
        kind: `FAILED`, `BROKEN` or `TORN`.
        link: which of the worker's functions raised it.
        attempts: how often the item was tried.
        error: the exception.
        here, what: see `describe_failure`.
    """
    pickled, *words = describe_failure(error, here, what)
    try:
        put((kind, link, attempts, pickled, *words))
    except Exception as refused:  # there is no memory for it: it goes without what it carries
        name, message, where, _ = words
        message = message[:1000]
        text = f"{name}: {message}\n(the exception itself could not be sent: {str(refused)[:1000]})"
        put((kind, link, attempts, None, name, message, where, text))


def describe_failure(
    error: BaseException, here: Here = False, what: str = ""
) -> tuple[bytes | BaseException | None, str, str, str, str]:
    """An exception that is being handled: itself, pickled if it can be; its class's name, text, place, traceback.

    Args:
        here: whoever is told is in this process, so that it need not be pickled; "inline": in this thread, too, so that
            it keeps its traceback.
        what: what could not be done, if it is not the function that raised.
    """
    kind = type(error)
    name = (
        kind.__qualname__
        if kind.__module__ in ("builtins", "__main__")
        else f"{kind.__module__}.{kind.__qualname__}"
    )
    try:
        message = str(error)
    except Exception:
        message = "(its text cannot be had: __str__ raises)"
    where = place_of(error)
    text = _traceback_of(error, name, message)
    if what:
        error.add_note(what)
        message = f"{what}: {message}"
    # Its frames would keep alive whatever is in their variables; but in a debugger those are what is wanted.
    pickled: bytes | BaseException | None = error if here == "inline" else error.with_traceback(None)
    if not here:
        try:
            pickled = pickle.dumps(pickled)
        except Exception:
            pickled = None
    return pickled, name, _cut(message, _MOST_TEXT), where, text


def _traceback_of(error: BaseException, name: str, message: str) -> str:
    import traceback

    try:
        if len(message) > _MOST_TEXT:  # it would be made several times over
            return "".join(
                [*traceback.format_tb(error.__traceback__), f"{name}: {_cut(message, _MOST_TEXT)}\n"]
            )
        return _cut("".join(traceback.format_exception(error)), 4 * _MOST_TEXT)
    except Exception:
        return f"{name} (its traceback cannot be had)"


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}… ({len(text):,} characters)"


def place_of(error: BaseException) -> str:
    """The innermost place outside conveyor that it went through, as in `tools.py:12 in parse`; empty: none."""
    where = ""
    step = error.__traceback__
    while step is not None:
        if not step.tb_frame.f_code.co_filename.startswith(_PACKAGE):
            where = _place(step.tb_frame, step.tb_lineno)
        step = step.tb_next
    return where


def _place(frame: FrameType, line: int) -> str:
    code = frame.f_code
    return f"{os.path.basename(code.co_filename)}:{line} in {code.co_name}"  # noqa: PTH119 - need not be a path
