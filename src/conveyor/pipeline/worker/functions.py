"""FunctionChain: the functions that one worker applies to each item, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from ..base.clock import SYSTEM, Clock
from ..base.weight import weigh
from .arguments import Arguments
from .identity import Worker, call_takes_worker, call_with

__all__ = ["NOTHING", "PART_SIZE", "FunctionChain", "FunctionStep", "Kind", "Many", "is_worker_class"]

Kind: TypeAlias = Literal["map", "filter", "flat_map"]

# Results of one item that are sent at a time, so that a function which yields without end needs no memory; of
# large ones, as soon as they come to so many bytes. What was sent cannot be taken back for another attempt.
PART_SIZE = 1024
_PART_BYTES = 16 * 1024 * 1024
# Where no other attempt can follow, results wait no longer than this for others of their item.
_PART_SECONDS = 0.05
# What a flat_map yields is taken in blocks, each of which passes all later functions before the next is fetched:
# few values at first, more while a block is quick and small, and single ones of a slow generator.
_FIRST_BLOCK = 4
_BLOCK = 256
_BLOCK_SECONDS = 0.0005
_BLOCK_BYTES = 256 * 1024


class _Nothing:
    def __repr__(self) -> str:
        return "NOTHING"


NOTHING: Final = _Nothing()
"""What a chain returns for an item that has no result."""


class Many(list[Any]):
    """What a chain returns for an item with several results."""

    __slots__ = ()


class FunctionStep(NamedTuple):
    """One function of a chain."""

    kind: Kind
    function: Any
    """A function, or a class or an object with `__call__` and, if it likes, `setup` and `teardown`."""
    arguments: Arguments | None = None
    """What it is called with; None: the item."""
    initializer: Any = None
    """What each worker calls once, before all else; None: nothing."""


def is_worker_class(function: Any) -> bool:
    """Whether it is a class of which each worker makes an object to call, unlike `int` or `str`."""
    return isinstance(function, type) and any("__call__" in vars(base) for base in function.__mro__)


def _tell_nobody(_: int) -> None:
    pass


class FunctionChain:
    """Functions ready to be called.

    Args:
        links: in the order of calls.
        part: what is told of a list with the first results of an item that has very many.
        mark: what is told which link begins, if there are several.
        eager: results of an item need not wait for the rest: it will not be tried again.
        clock: the time.
        part_size: results of one item that are sent at a time.
        worker: whom functions are told of that ask for the worker.
    """

    def __init__(
        self,
        links: tuple[FunctionStep, ...],
        part: Callable[[list[Any]], None],
        mark: Callable[[int], None],
        eager: bool = False,
        clock: Clock = SYSTEM,
        part_size: int = PART_SIZE,
        worker: Worker | None = None,
    ) -> None:
        self._worker = worker
        self.position = 0
        """The link that is at work, or was when an exception came out."""
        self._given = links
        self._links: list[tuple[Kind, Any]] = []
        self._alive: list[tuple[int, Any]] = []  # what was set up and is to be torn down, with its position
        self._part = part
        self._mark = mark
        self._eager = eager
        self._clock_now = clock.now
        self._part_size = part_size
        self.has_sent = False
        """Whether results of the current item, or the last, have been sent before its end."""
        self._results: list[Any] = []
        self._weight = 0
        self._now = self._part_due = 0.0
        self.call: Callable[[Any], Any] = self._one
        """Returns the item's result, `NOTHING` or `Many`."""

    def set_up(self) -> None:
        """Make what is to be made, and call each `setup()`."""
        worker = self._worker
        every: list[Any] = []
        for position, (kind, function, arguments, initializer) in enumerate(self._given):
            self.position = position
            if initializer is not None:
                state = call_with(worker, initializer)
                if worker is not None:
                    worker.state = state
            made = function() if is_worker_class(function) else function
            every.append(made)
            asks = worker is not None and call_takes_worker(made, arguments)
            self._links.append((kind, partial(made, worker=worker) if asks else made))
        for position, made in enumerate(every):
            if any(made is other for _, other in self._alive):
                continue  # one object in two stages is set up once
            self.position = position
            self._call_if_there(made, "setup")
            self._alive.append((position, made))
        self.position = 0
        for position, step in enumerate(self._given):
            if step.arguments is not None:
                kind, made = self._links[position]
                self._links[position] = kind, step.arguments.bind(made)
        if len(self._links) == 1:
            self._mark = _tell_nobody
        if any(kind == "flat_map" for kind, _ in self._links):
            self.call = self._several
        elif len(self._links) == 1 and self._links[0][0] == "map":
            self.call = self._links[0][1]  # nothing in between

    def tear_down(
        self, failed: Callable[[int, BaseException], None], rest: Callable[[list[Any]], None]
    ) -> None:
        """Call the `teardown()` of each whose setup was done. The first is the first: what it gives passes the others.

        Args:
            failed: is told the position of each that raises, and what, while that is handled.
            rest: takes what they give, when that has passed all later functions.
        """
        self._part, self._part_due = rest, float("inf")
        alive, self._alive = self._alive, []
        for position, made in alive:
            self.position = position
            self._mark(position)
            try:
                given = self._call_if_there(made, "teardown")
                if given is not None:
                    self._pass_rest(position + 1, given)
            except BaseException as error:  # even SystemExit: the others are to be torn down, too
                failed(self.position, error)

    def _pass_rest(self, first: int, given: Any) -> None:
        """What a teardown gave: each value of an iterator or a list, or the one that it is."""
        values: Iterator[Any] = iter(given if isinstance(given, (Iterator, list)) else (given,))  # pyright: ignore[reportUnknownArgumentType]
        self._results, self._weight = [], 0
        while block := list(islice(values, _BLOCK)):
            self._pass_on(first, block)
        results, self._results = self._results, []
        if results:
            self._part(results)

    def _call_if_there(self, made: Any, name: str) -> Any:
        method = getattr(made, name, None)
        if callable(method) and not isinstance(made, type):
            return call_with(self._worker, method)
        return None

    # -- an item -------------------------------------------------------------------------------------

    def _one(self, value: Any) -> Any:
        for position, (kind, function) in enumerate(self._links):
            self.position = position
            self._mark(position)
            if kind == "map":
                value = function(value)
            elif not function(value):
                return NOTHING
        return value

    def _several(self, item: Any) -> Any:
        self._results = []
        self._weight = 0
        self.has_sent = False
        self._now = self._clock_now()
        self._part_due = self._now + _PART_SECONDS
        self._pass_on(0, [item])
        results, self._results = self._results, []
        if not results:
            return NOTHING
        return results[0] if len(results) == 1 else Many(results)

    def _pass_on(self, first: int, values: list[Any]) -> int:
        """Apply the links from `first` on to these values, and gather what comes out; returns what it weighs."""
        for position in range(first, len(self._links)):
            self.position = position
            self._mark(position)
            kind, function = self._links[position]
            if kind == "map":
                values = [function(value) for value in values]
            elif kind == "filter":
                values = [value for value in values if function(value)]
            else:
                return sum(self._spread(position, function, value) for value in values)
            if not values:
                return 0
        return self._gather(values)

    def _spread(self, position: int, function: Callable[[Any], Iterable[Any]], value: Any) -> int:
        """Pass on each value that a flat_map gives, without waiting for its last."""
        self.position = position
        self._mark(position)
        given = function(value)
        if isinstance(given, (list, tuple)) and len(given) <= _BLOCK:  # pyright: ignore[reportUnknownArgumentType]
            return self._pass_on(position + 1, list(given)) if given else 0  # pyright: ignore[reportUnknownArgumentType]
        results = iter(given)
        size = _FIRST_BLOCK
        total = 0
        while block := list(islice(results, size)):
            before, self._now = self._now, self._clock_now()
            weight = self._pass_on(position + 1, block)
            total += weight
            if len(block) < size:
                break
            took = self._now - before
            if weight > _BLOCK_BYTES or took > 8 * _BLOCK_SECONDS:
                size = (size + 3) // 4
            elif took < _BLOCK_SECONDS:
                size = min(4 * size, _BLOCK)
            self.position = position
            self._mark(position)
        return total

    def _gather(self, values: list[Any]) -> int:
        """Note results of the item, and send on those that need not wait; returns what they weigh."""
        weight = weigh(values)
        if self._results and (
            len(self._results) + len(values) > self._part_size or self._weight + weight > _PART_BYTES
        ):
            self._send_part()
        self._results += values
        self._weight += weight
        if self._eager and self._now > self._part_due:
            self._send_part()
        return weight

    def _send_part(self) -> None:
        part, self._results = self._results, []
        self._weight = 0
        self.has_sent = True
        self._part(part)
        self._part_due = self._now + _PART_SECONDS
