"""Chain: the functions that one worker applies to each item, one after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Literal, NamedTuple, TypeAlias

__all__ = ["NOTHING", "Chain", "Kind", "Link", "Many", "is_worker_class"]

Kind: TypeAlias = Literal["map", "filter", "flat_map"]

# Results of one item that are sent at a time, so that a function which yields without end needs no memory; of
# large ones, as soon as they come to so many bytes. What was sent cannot be taken back for another attempt.
_PART = 1024
_PART_BYTES = 16 * 1024 * 1024


class _Nothing:
    def __repr__(self) -> str:
        return "NOTHING"


NOTHING: Final = _Nothing()
"""What a chain returns for an item that has no result."""


class Many(list[Any]):
    """What a chain returns for an item with several results."""

    __slots__ = ()


class Link(NamedTuple):
    """One function of a chain."""

    kind: Kind
    function: Any
    """A function, or a class or an object with `__call__` and, if it likes, `setup` and `teardown`."""


def is_worker_class(function: Any) -> bool:
    """Whether it is a class of which each worker makes an object to call, unlike `int` or `str`."""
    return isinstance(function, type) and any("__call__" in vars(base) for base in function.__mro__)


def _tell_nobody(_: int) -> None:
    pass


class Chain:
    """Functions ready to be called.

    Args:
        links: in the order of calls.
        part: what is told of a list with the first results of an item that has very many.
        mark: what is told which link begins, if there are several.
    """

    def __init__(
        self, links: tuple[Link, ...], part: Callable[[list[Any]], None], mark: Callable[[int], None]
    ) -> None:
        self.position = 0
        """The link that is at work, or was when an exception came out."""
        self._objects: list[Any] = []
        self._given = links
        self._links: list[tuple[Kind, Callable[[Any], Any]]] = []
        self._part = part
        self._mark = mark
        self.call: Callable[[Any], Any] = self._whole
        """Returns the item's result, `NOTHING` or `Many`."""

    def set_up(self) -> None:
        """Make what is to be made, and call each `setup()`."""
        for position, (kind, function) in enumerate(self._given):
            self.position = position
            made = function() if is_worker_class(function) else function
            self._objects.append(made)
            self._links.append((kind, made))
        for position, made in enumerate(self._objects):
            self.position = position
            setup = getattr(made, "setup", None)
            if callable(setup) and not isinstance(made, type):
                setup()
        self.position = 0
        if len(self._links) == 1 and self._links[0][0] == "map":
            self.call = self._links[0][1]  # nothing in between
        if len(self._links) == 1:
            self._mark = _tell_nobody

    def tear_down(self) -> None:
        """Call each `teardown()`, the last first."""
        for made in reversed(self._objects):
            teardown = getattr(made, "teardown", None)
            if callable(teardown) and not isinstance(made, type):
                teardown()

    def _whole(self, item: Any) -> Any:
        values = [item]
        for position, (kind, function) in enumerate(self._links):
            self.position = position
            self._mark(position)
            if kind == "map":
                values = [function(value) for value in values]
            elif kind == "filter":
                values = [value for value in values if function(value)]
            elif position + 1 == len(self._links):
                values = self._flatten(function, values)
            else:
                values = [result for value in values for result in function(value)]
            if not values:
                return NOTHING
        return values[0] if len(values) == 1 else Many(values)

    def _flatten(self, function: Callable[[Any], Any], values: list[Any]) -> list[Any]:
        results: list[Any] = []
        held = 0
        for value in values:
            for result in function(value):
                if len(results) == _PART or held >= _PART_BYTES:
                    self._part(results)
                    results, held = [], 0
                results.append(result)
                held += len(result) if isinstance(result, (bytes, str)) else getattr(result, "nbytes", 0)
        return results
