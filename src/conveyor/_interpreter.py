"""subinterpreter: native state belongs to a process, and a process may have many interpreters."""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["subinterpreter"]

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
