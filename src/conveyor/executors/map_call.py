"""MapCall: one call of `map`, whose results are handed out in the order of the arguments."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from itertools import islice, repeat
from time import monotonic
from typing import Any

from .task_options import TaskOptions

__all__ = ["MapBlock", "MapCall", "MapItem"]

# Submitted at once: the first are being worked on while the rest is made ready.
_BLOCK = 2048


class _Raised:
    """Stands among the results for an exception."""

    __slots__ = ("error",)

    def __init__(self, error: BaseException) -> None:
        self.error = error


class MapItem:
    """One of the calls that `map` makes, made of its origin, which is a tuple, when somebody asks. See `Task`.

    There is no object for each: for quick calls, making it would take as long as all else.

    Args:
        call: whose it is.
        index: its place.
    """

    __slots__ = ("call", "index", "options")

    def __init__(self, call: MapCall, index: int) -> None:
        self.call = call
        self.index = index
        self.options = call.options
        """How it is made."""

    @property
    def wanted(self) -> bool:
        """See `Task`."""
        return not self.call.abandoned

    def fail(self, error: BaseException) -> None:
        """See `Task`."""
        self.call.add_error(self.index, error)
        self.call.tell()


class MapBlock:
    """Calls that `map` makes and that no worker has yet.

    Args:
        call: whose they are.
        first: the place of the first of them.
        arguments: tuples of arguments, one for each.
    """

    __slots__ = ("_arguments", "_first", "_function", "call")

    def __init__(self, call: MapCall, first: int, arguments: list[tuple[Any, ...]]) -> None:
        self.call = call
        self._function = call.function
        self._first = first
        self._arguments = arguments

    def __len__(self) -> int:
        return len(self._arguments)

    def take(self, most: int) -> tuple[list[list[Any]], list[Any]]:
        """Take out the first, at most so many: their messages and their origins; nothing if nobody wants them."""
        taken, self._arguments = self._arguments[:most], self._arguments[most:]
        first, self._first = self._first, self._first + len(taken)
        if self.call.abandoned:
            return [], []
        function = self._function
        return (
            [[function, arguments] for arguments in taken],
            list(zip(repeat(self.call), range(first, self._first))),
        )

    def fail(self, error: BaseException) -> None:
        """They will not be made: they fail with this."""
        for index in range(self._first, self._first + len(self._arguments)):
            self.call.add_error(index, error)
        self.call.tell()


class MapCall:
    """The results of one call of `map`, as they come and as they are wanted.

    Args:
        submit: takes a block of calls that are to be made.
        function: what a message carries for the function.
        arguments: tuples of arguments.
        options: how the calls are made.
        until: when the results must be there, by `time.monotonic`; None: there is no such time.
        ahead: so many calls at most are made whose results nobody has taken; None: any number.
    """

    def __init__(
        self,
        submit: Callable[[MapBlock], None],
        function: Any,
        arguments: Iterator[tuple[Any, ...]],
        options: TaskOptions,
        until: float | None,
        ahead: int | None,
    ) -> None:
        self.options = options
        """How the calls are made."""
        self.function = function
        """What a message carries for the function."""
        self.abandoned = False
        """Whether nobody wants the results any more."""
        self._submit = submit
        self._arguments = arguments
        self._until = until
        self._submitted = 0
        self._results: dict[int, Any] = {}
        self._awaited = -1
        self._came = threading.Event()
        if ahead is not None:
            self._more(ahead)
        else:
            while self._more(_BLOCK):
                pass

    def _more(self, count: int) -> bool:
        """Submit so many more; returns whether there were as many."""
        arguments = list(islice(self._arguments, count))
        if arguments:
            first, self._submitted = self._submitted, self._submitted + len(arguments)
            self._submit(MapBlock(self, first, arguments))
        return len(arguments) == count

    # -- for the engine ---------------------------------------------------------------------------------------

    def add_many(self, results: Iterable[tuple[int, Any]]) -> None:
        """Results have come: places and values."""
        self._results.update(results)

    def add_error(self, index: int, error: BaseException) -> None:
        """A call has failed."""
        self._results[index] = _Raised(error)

    def tell(self) -> None:
        """Some have been added: wake who waits for one of them."""
        if self.abandoned:
            self._results.clear()
        if self._awaited in self._results:
            self._came.set()

    # -- for the caller ---------------------------------------------------------------------------------------

    def results(self, refill: bool) -> Iterator[Any]:
        """The results, in order; what a call raised is raised in its turn, and ends it.

        Args:
            refill: submit one more call for each result that is taken.

        Raises:
            TimeoutError: a result is not there in time.
        """
        results = self._results
        ended = not refill
        try:
            index = 0
            while index < self._submitted:
                if index not in results:
                    self._await(index)
                if not ended:
                    ended = not self._more(1)
                if type(results[index]) is _Raised:
                    raise results.pop(index).error
                yield results.pop(index)  # no name here holds it while it is the caller's
                index += 1
        finally:
            self.abandoned = True
            results.clear()

    def _await(self, index: int) -> None:
        while True:
            self._came.clear()
            self._awaited = index
            if index not in self._results:
                rest = None if self._until is None else self._until - monotonic()
                if rest is not None:
                    rest = min(max(rest, 0.0), threading.TIMEOUT_MAX)
                if not self._came.wait(rest) and index not in self._results:
                    self._awaited = -1
                    raise TimeoutError
            if index in self._results:
                self._awaited = -1
                return
