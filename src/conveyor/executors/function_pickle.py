"""FunctionPickle: a function as a message carries it: by its name, or by value if it has none that is found."""

from __future__ import annotations

import functools
import pickle
from types import BuiltinFunctionType, FunctionType
from typing import Any

from ..pipeline.worker.by_value import EXTRA, dump_by_value, not_importable

__all__ = ["FunctionPickle"]

# A function that is found by its name has a short pickle; a longer one is of something else, and may change.
_MOST_BYTES = 1024
_MOST_FUNCTIONS = 256
_FOUND_BY_NAME = (FunctionType, BuiltinFunctionType, type)


class FunctionPickle:
    """Pickles functions that are found by their names once, and leaves all others as they are.

    The bytes are the same for each call, so that a worker imports the function once, and compares bytes from then on.
    What may change between two calls (a partial, a method of an object) is pickled with its arguments each time.

    A lambda, a function within a function, a function of a main module that cannot be imported, and a partial of one of
    these go by value, if cloudpickle is installed: as bytes, too, made anew for each call of `of`, for what they refer
    to may have changed.
    """

    def __init__(self) -> None:
        self._known: dict[Any, bytes] = {}

    def of(self, function: Any) -> Any:
        """What a message carries in the place of the function: bytes, or the function itself.

        Raises:
            Exception: it cannot be pickled.
        """
        kind: Any = type(function)  # pyright: ignore[reportUnknownVariableType]
        if kind is functools.partial and (by_value := self._of_partial(function)) is not None:
            return by_value
        if kind not in _FOUND_BY_NAME:
            return function
        known = self._known.get(function)
        if known is None:
            try:
                known = pickle.dumps(function, pickle.HIGHEST_PROTOCOL)
            except Exception as error:
                if (by_value := dump_by_value(function)) is not None:
                    return by_value
                error.add_note(f"it is not found by its name; {EXTRA} for it to go by value")
                raise
            if _is_of_unimportable_main(function) and (by_value := dump_by_value(function)) is not None:
                return by_value
            if len(known) > _MOST_BYTES:
                return function
            if len(self._known) >= _MOST_FUNCTIONS:  # they are made anew all the time
                self._known.clear()
            self._known[function] = known
        return known

    def _of_partial(self, function: Any) -> bytes | None:
        inner = function.func
        if type(inner) is FunctionType and ("<" in inner.__qualname__ or _is_of_unimportable_main(inner)):
            return dump_by_value(function)
        return None


def _is_of_unimportable_main(function: Any) -> bool:
    return function.__module__ == "__main__" and bool(not_importable())
