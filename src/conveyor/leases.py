"""Items under lease: one is a `Lease`, many at a time are `Leases`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import TypeVar, overload

from ._native import Lease
from .errors import LeaseLost

__all__ = ["Lease", "Leases"]

T = TypeVar("T")


class Leases(Sequence[Lease[T]]):
    """What `Queue.lease_many` returns: a sequence of leases, and a context manager that gives their items.

    Leaving the block acknowledges those that were not settled in it; an exception gives them back.
    """

    def __init__(self, leases: list[Lease[T]]) -> None:
        self._leases = leases

    @property
    def items(self) -> list[T]:
        """The items, in order."""
        return [lease.item for lease in self._leases]

    @overload
    def __getitem__(self, index: int) -> Lease[T]: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Lease[T]]: ...
    def __getitem__(self, index: int | slice) -> Lease[T] | Sequence[Lease[T]]:
        return self._leases[index]

    def __len__(self) -> int:
        return len(self._leases)

    def __iter__(self) -> Iterator[Lease[T]]:
        return iter(self._leases)

    def acknowledge(self) -> None:
        """Say that all are dealt with.

        Raises:
            LeaseLost: some had been settled otherwise or were over; the others are acknowledged.
        """
        lost: LeaseLost | None = None
        for lease in self._leases:
            try:
                lease.acknowledge()
            except LeaseLost as error:
                lost = error
        if lost is not None:
            raise lost

    def __enter__(self) -> list[T]:
        return self.items

    def __exit__(
        self,
        type_: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        lost: LeaseLost | None = None
        # The last first, so that each goes back in front of the one before.
        for lease in self._leases if type_ is None else reversed(self._leases):
            try:
                lease.__exit__(type_, error, trace)
            except LeaseLost as late:
                lost = late
        if lost is not None:
            raise lost
