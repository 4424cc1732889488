"""TaskCall: what the workers of an executor do to each message."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from logging import getLogger
from typing import Any

from ..pipeline.base.failure import Failure
from ..pipeline.worker.functions import NOTHING, Many

__all__ = ["Boxed", "TaskCall"]

_MOST_FUNCTIONS = 256
_MOST_BYTES = 64 * 1024


class Boxed:
    """A result that would mean something else to the engine if it came as it is."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __reduce__(self) -> tuple[Any, ...]:
        return Boxed, (self.value,)


_TO_BE_BOXED = frozenset((Boxed, Failure, Many, type(NOTHING)))


class TaskCall:
    """Calls what messages say: lists of a function or its pickle, the arguments, and perhaps those by name.

    Args:
        initializer: called in each worker before its first task; None: nothing is.
        initargs: its arguments.
    """

    def __init__(self, initializer: Callable[..., object] | None, initargs: tuple[Any, ...]) -> None:
        self._initializer = initializer
        self._initargs = initargs
        self._known: dict[bytes, Callable[..., Any]] = {}

    def setup(self) -> None:
        """Call the initializer."""
        if self._initializer is None:
            return
        try:
            self._initializer(*self._initargs)
        except BaseException:
            # Where the standard library logs it: programs that set that logger up in the initializer look there.
            getLogger("concurrent.futures").critical("Exception in initializer:", exc_info=True)
            raise

    def __call__(self, message: list[Any]) -> Any:
        function = message[0]
        if type(function) is bytes:
            function = self._known.get(function) or self._load(function)
        result = function(*message[1]) if len(message) == 2 else function(*message[1], **message[2])
        return result if type(result) not in _TO_BE_BOXED else Boxed(result)

    def _load(self, pickled: bytes) -> Any:
        function = pickle.loads(pickled)
        if len(pickled) > _MOST_BYTES:  # by value, with what it holds
            return function
        if len(self._known) >= _MOST_FUNCTIONS:
            self._known.clear()
        self._known[pickled] = function
        return function
