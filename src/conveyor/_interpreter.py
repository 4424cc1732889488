"""subinterpreter, gil_is_off: native state belongs to a process, whatever interpreters it has; the GIL guards it."""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["gil_is_off", "subinterpreter"]

# Built in under this name; where an interpreter has been built without it, there are no subinterpreters to be in.
_MODULE = "_interpreters" if sys.version_info >= (3, 13) else "_xxsubinterpreters"


def subinterpreter() -> int | None:
    """The number of the interpreter that this runs in; None if it is the main one.

    Asked before any native code of ours is loaded: CPython refuses that by itself only from 3.12 on, only in
    interpreters that are isolated, and does not say what to do.
    """
    try:
        interpreters = __import__(_MODULE)
    except ImportError:
        return None
    current, main = _number(interpreters.get_current()), _number(interpreters.get_main())
    return None if current == main else current


def _number(identity: Any) -> int:
    # 3.13 says by a pair whose second word is who made it; before, by an object that is a number.
    return int(identity[0] if isinstance(identity, tuple) else identity)  # pyright: ignore[reportUnknownArgumentType]


def gil_is_off() -> bool:
    """Whether a free-threaded build is told to do without: otherwise loading native code has switched it on."""
    return not getattr(sys, "_is_gil_enabled", lambda: True)()
