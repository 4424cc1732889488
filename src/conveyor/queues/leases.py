"""Items under lease: one is a `Lease`, many at a time are `Leases`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar, overload

from .._native import Lease, enter_leases, init_leases, leave_leases
from .._public import public
from ..errors import LeaseLost

__all__ = ["Lease", "Leases"]

T = TypeVar("T")


@public
class Leases(Sequence[Lease[T]]):
    """What `Queue.lease_many` returns: a sequence of leases, and a context manager that gives their items.

    Leaving the block acknowledges those that were not settled in it; an exception gives them back.
    """

    _leases: list[Lease[T]]

    if TYPE_CHECKING:

        def __init__(self, leases: list[Lease[T]]) -> None: ...

    else:
        __init__ = init_leases

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

    if TYPE_CHECKING:

        def __enter__(self) -> list[T]: ...
        def __exit__(
            self,
            type_: type[BaseException] | None,
            error: BaseException | None,
            trace: TracebackType | None,
        ) -> None: ...

    else:
        __enter__ = enter_leases
        __exit__ = leave_leases
