"""call_by_value: a call whose arguments no other process finds by their names, in a form that can travel."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from multiprocessing.reduction import ForkingPickler
from typing import Any, cast

from ..pipeline.base.format import short
from ..pipeline.worker.by_value import EXTRA, dump_by_value

__all__ = ["call_by_value"]

# What pickling a lambda, a closure, a local class or a module raises.
_NOT_FOUND = (pickle.PicklingError, AttributeError, TypeError)
_MOST_TEXT = 60


def call_by_value(message: list[Any], error: Exception) -> list[Any] | None:
    """A message that makes the same call, with its arguments by value; None: there is none.

    Args:
        message: as `TaskCall` takes it.
        error: why it cannot be pickled; a note says which argument it is.
    """
    if not isinstance(error, _NOT_FOUND):
        return None
    try:
        dumped = dump_by_value(message)
    except Exception as raised:
        error.add_note(f"{_culprit(message, dump_by_value)}; nor can it go by value: {raised}")
        return None
    if dumped is None:
        error.add_note(f"{_culprit(message, ForkingPickler.dumps)}; {EXTRA} for it to go by value")
        return None
    return [_CALL, (dumped,)]


def _call(dumped: bytes) -> Any:
    function, args, *named = pickle.loads(dumped)
    if type(function) is bytes:
        function = pickle.loads(function)
    return function(*args, **(named[0] if named else {}))


_CALL = pickle.dumps(_call, pickle.HIGHEST_PROTOCOL)


def _culprit(message: list[Any], dump: Callable[[Any], Any]) -> str:
    """Which argument it is that this cannot pickle, as far as that can be told."""
    function, args, *named = message
    if type(function) is bytes:
        function = pickle.loads(function)
    name: str = getattr(function, "__qualname__", type(function).__name__)
    each: list[tuple[str, Any]] = [(f"argument {place}", value) for place, value in enumerate(args, 1)]
    each += [
        (f"argument {key!r}", value)
        for key, value in (cast("dict[str, Any]", named[0]).items() if named else ())
    ]
    for what, value in each:
        try:
            dump(value)
        except Exception:
            return f"{what} of {name}() is {short(value, _MOST_TEXT)}, which cannot be pickled"
    return f"{name}() or its arguments cannot be pickled"
