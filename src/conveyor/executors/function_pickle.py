"""FunctionPickle: a function as a message carries it."""

from __future__ import annotations

import pickle
from types import BuiltinFunctionType, FunctionType
from typing import Any

__all__ = ["FunctionPickle"]

# A function that is found by its name has a short pickle; a longer one is of something else, and may change.
_MOST_BYTES = 1024
_MOST_FUNCTIONS = 256
_FOUND_BY_NAME = (FunctionType, BuiltinFunctionType, type)


class FunctionPickle:
    """Pickles functions that are found by their names once, and leaves all others as they are.

    The bytes are the same for each call, so that a worker imports the function once, and compares bytes from then on.
    What may change between two calls (a partial, a method of an object) is pickled with its arguments each time.
    """

    def __init__(self) -> None:
        self._known: dict[Any, bytes] = {}

    def of(self, function: Any) -> Any:
        """What a message carries in the place of the function: bytes, or the function itself.

        Raises:
            Exception: it cannot be pickled.
        """
        if type(function) not in _FOUND_BY_NAME:
            return function
        known = self._known.get(function)
        if known is None:
            known = pickle.dumps(function, pickle.HIGHEST_PROTOCOL)
            if len(known) > _MOST_BYTES:
                return function
            if len(self._known) >= _MOST_FUNCTIONS:  # they are made anew all the time
                self._known.clear()
            self._known[function] = known
        return known
