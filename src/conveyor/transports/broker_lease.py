"""Items under lease from a broker."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar, overload

from ..errors import LeaseLost

if TYPE_CHECKING:
    from .port import Delivery

__all__ = ["BrokerLease", "BrokerLeases", "Settler", "error_text"]

T = TypeVar("T")

_LONGEST_ERROR = 192

HELD, ACKNOWLEDGED, GIVEN_BACK, REJECTED, LOST = range(5)
# How a lease may be settled as well; its stage is GIVEN_BACK then.
PUT_BACK = 5
_WORDS = ("held", "acknowledged", "given back", "rejected", "lost")


def error_text(error: object) -> str:
    """What a dead letter says of an exception: "Type: text", at most 192 bytes."""
    text = error if isinstance(error, str) else f"{type(error).__name__}: {error}".removesuffix(": ")
    return text.encode("utf-8", "replace")[:_LONGEST_ERROR].decode("utf-8", "ignore")


class Settler:
    """What a lease needs of its queue; `BrokerQueue` is one."""

    epoch = 0
    """Another one in a forked child: leases of an earlier one are its parent's."""

    def settle(self, leases: Sequence[BrokerLease[Any]], how: int, delay: float, error: str) -> None:
        """Settle leases that are held; those that were lost are marked so.

        Args:
            leases: in the order in which they were taken.
            how: `ACKNOWLEDGED`, `GIVEN_BACK`, `PUT_BACK` (which counts no attempt) or `REJECTED`.
            delay: for `GIVEN_BACK` and `PUT_BACK`, seconds.
            error: why.
        """
        raise NotImplementedError

    def dropped(self, delivery: Delivery) -> None:
        """A lease was collected that nobody had settled. Called by the collector: may take no lock."""
        raise NotImplementedError


class BrokerLease(Generic[T]):
    """An item that goes back to its queue unless it is acknowledged: what `lease` of a queue on a broker returns.

    As a context manager it gives the item, acknowledges it when the block is left, and gives it back when the
    block is left by an exception. Dropped, it gives the item back.
    """

    __slots__ = ("__weakref__", "attempts", "delivery", "epoch", "item", "owner", "stage")

    def __init__(self, owner: Settler, epoch: int, item: T, delivery: Delivery) -> None:
        self.owner = owner
        self.epoch = epoch
        self.item = item
        """The item."""
        self.attempts = delivery.attempts
        """How often it was leased before, and came back."""
        self.delivery = delivery
        self.stage = HELD

    def _may(self, wanted: int) -> bool:
        stage = self.stage
        if stage == HELD:
            if self.epoch != self.owner.epoch:
                raise LeaseLost("the lease is held by the process that this one was forked from")
            return True
        if stage == wanted:
            return False
        if stage == LOST:
            raise LeaseLost(
                "the lease was over: the item went back to the queue, and somebody else may have it"
            )
        raise LeaseLost(f"the item was {_WORDS[stage]} already")

    def _settle(self, how: int, delay: float, error: str) -> None:
        stage = GIVEN_BACK if how == PUT_BACK else how
        if self._may(stage):
            self.owner.settle((self,), how, delay, error)
            if self.stage == LOST:
                self._may(stage)

    def acknowledge(self) -> None:
        """Say that the item is dealt with: nobody will get it again. Idempotent.

        Raises:
            LeaseLost: it went back before; somebody else may have it, or have dealt with it.
        """
        self._settle(ACKNOWLEDGED, 0.0, "")

    def release(self, delay: float = 0, counted: bool = True) -> None:
        """Give the item back, to the front of the queue; this counts as a failed attempt. Idempotent.

        Args:
            delay: seconds before anybody gets it again.
            counted: whether it was an attempt; False: as if it had not been leased.

        Raises:
            NotSupported: `counted` is False, and the broker counts whatever it delivers.
            LeaseLost: it was acknowledged, rejected, or went back by itself before.
        """
        if not delay >= 0:
            raise ValueError(f"delay is {delay}; it must be a number of seconds, at least 0")
        self._settle(GIVEN_BACK if counted else PUT_BACK, float(delay), "released")

    def reject(self, reason: object = None) -> None:
        """Give the item up, however often it was tried: it goes to the dead letters. Idempotent.

        Args:
            reason: an exception or a text, for `DeadLetter.error`.

        Raises:
            LeaseLost: it was acknowledged, given back, or went back by itself before.
        """
        self._settle(REJECTED, 0.0, "rejected" if reason is None else error_text(reason))

    def __enter__(self) -> T:
        return self.item

    def __exit__(
        self, type_: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        if self.stage == HELD:
            if self.epoch != self.owner.epoch:
                return  # this is a forked child, and the lease its parent's
            if type_ is None:
                self.owner.settle((self,), ACKNOWLEDGED, 0.0, "")
            else:
                self.owner.settle(
                    (self,), GIVEN_BACK, 0.0, error_text(error if error is not None else type_.__name__)
                )
                return  # that another process has it by now adds nothing to the exception that is raised
        if type_ is None and self.stage == LOST:
            self._may(ACKNOWLEDGED)

    def __del__(self) -> None:
        if self.stage == HELD and self.epoch == self.owner.epoch:
            self.stage = GIVEN_BACK
            self.owner.dropped(self.delivery)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a lease belongs to the process that took it; pass its item")

    def __repr__(self) -> str:
        return f"<conveyor.Lease of {self.item!r}, {_WORDS[self.stage]}>"


class BrokerLeases(Sequence[BrokerLease[T]]):
    """What `lease_many` returns: a sequence of leases, and a context manager that gives their items.

    Leaving the block acknowledges those that were not settled in it; an exception gives them back. All at once: one
    message to the broker where it has one for many.
    """

    def __init__(self, leases: list[BrokerLease[T]]) -> None:
        self._leases = leases

    @property
    def items(self) -> list[T]:
        """The items, in order."""
        return [lease.item for lease in self._leases]

    @overload
    def __getitem__(self, index: int) -> BrokerLease[T]: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[BrokerLease[T]]: ...
    def __getitem__(self, index: int | slice) -> BrokerLease[T] | Sequence[BrokerLease[T]]:
        return self._leases[index]

    def __len__(self) -> int:
        return len(self._leases)

    def __iter__(self) -> Iterator[BrokerLease[T]]:
        return iter(self._leases)

    def _settle(self, how: int, error: str) -> list[BrokerLease[T]]:
        held = [lease for lease in self._leases if lease.stage == HELD and lease.epoch == lease.owner.epoch]
        if held:
            held[0].owner.settle(held, how, 0.0, error)
        return held

    def acknowledge(self) -> None:
        """Say that all are dealt with.

        Raises:
            LeaseLost: some had been settled otherwise or were over; the others are acknowledged.
        """
        self._settle(ACKNOWLEDGED, "")
        _raise_first(lease.acknowledge for lease in self._leases)

    def __enter__(self) -> list[T]:
        return self.items

    def __exit__(
        self, type_: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        if type_ is not None:
            self._settle(GIVEN_BACK, error_text(error if error is not None else type_.__name__))
            return
        self._settle(ACKNOWLEDGED, "")
        _raise_first(lease.acknowledge for lease in self._leases if lease.stage == LOST)


def _raise_first(calls: Iterator[Callable[[], None]]) -> None:
    lost: LeaseLost | None = None
    for call in calls:
        try:
            call()
        except LeaseLost as error:
            lost = lost or error
    if lost is not None:
        raise lost
