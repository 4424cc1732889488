"""What a worker tells of an exception."""

from __future__ import annotations

import os
import pickle
from types import FrameType

__all__ = ["describe_failure", "place_of"]

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120 - cheap at start


def describe_failure(error: BaseException) -> tuple[bytes | None, str, str, str, str]:
    """An exception that is being handled: itself, pickled if it can be; its class's name, text, place, traceback."""
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
    import traceback

    try:
        text = "".join(traceback.format_exception(error))
    except Exception:
        text = f"{name} (its traceback cannot be had)"
    try:
        pickled = pickle.dumps(error.with_traceback(None))
    except Exception:
        pickled = None
    return pickled, name, message, where, text


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
