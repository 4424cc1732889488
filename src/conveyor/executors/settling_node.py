"""SettlingNode: gives each call its outcome."""

from __future__ import annotations

from typing import Any

from ..pipeline.base.failure import Failure
from ..pipeline.operators.node import ROOM, Node, Origins
from .map_call import MapCall
from .process_future import ProcessFuture
from .task import task_of
from .task_call import Boxed
from .task_errors import exception_of

__all__ = ["SettlingNode"]

_SPECIAL = frozenset((Failure, Boxed))


class SettlingNode(Node):
    """Where results end: at the futures, or the `map`, that they are of."""

    def demand(self) -> int:
        """Whatever there is."""
        return ROOM

    def push(self, values: list[Any], origins: Origins) -> None:
        """Settle the calls that these are the outcomes of: many at a time, where they are of one kind."""
        assert origins is not None
        self.taken += len(values)
        self.given += len(values)
        if not _SPECIAL.isdisjoint(map(type, values)):
            self._settle_each(values, origins)
            return
        kinds = set(map(type, origins))
        if kinds == {ProcessFuture}:
            ProcessFuture.settle(origins, values)
        else:
            self._settle_mixed(values, origins)

    def _settle_mixed(self, values: list[Any], origins: list[Any]) -> None:
        """There are no failures, but results of a `map` among them; as a rule, of one `map` alone."""
        start = 0
        while start < len(values):
            owner = origins[start][0] if type(origins[start]) is tuple else None
            stop = start + 1
            while (
                stop < len(values) and (origins[stop][0] if type(origins[stop]) is tuple else None) is owner
            ):
                stop += 1
            if owner is None:
                ProcessFuture.settle(origins[start:stop], values[start:stop])
            else:
                call: MapCall = owner
                call.add_many(
                    zip([index for _, index in origins[start:stop]], values[start:stop], strict=True)
                )
                call.tell()
            start = stop

    def _settle_each(self, values: list[Any], origins: list[Any]) -> None:
        for value, origin in zip(values, origins, strict=True):
            kind: type[Any] = type(value)  # pyright: ignore[reportUnknownVariableType]
            if kind is Failure:
                task_of(origin).fail(exception_of(value))
            else:
                self._settle_mixed([value.value if kind is Boxed else value], [origin])
