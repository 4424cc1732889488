"""How leases of a queue on a broker are settled, and what becomes of what failed too often."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from functools import partial
from time import monotonic
from types import SimpleNamespace
from typing import Any, TypeVar

from ..errors import BadMessage, Full, NotSupported
from ..queues.dead_letter import DeadLetter
from .broker_lease import ACKNOWLEDGED, GIVEN_BACK, LOST, PUT_BACK, BrokerLease, Settler, error_text
from .handle import handles
from .keeper import Keeper
from .link import NEVER
from .payload import item_of
from .port import Backend, Delivery
from .sending import Sending

__all__ = ["Settling"]

T = TypeVar("T")

# When dead letters have no room, the item is tried again so much later.
_TRY_AGAIN_SECONDS = 0.1


class Settling(Sending[Backend], Settler):
    """The leases of one handle in one process: which are open, and what their end does."""

    def _start(self) -> None:
        super()._start()
        self._open: dict[int, tuple[Delivery, float]] = {}  # by id: what is leased, and until when
        self._keeper: Keeper | None = None

    # -- which are open

    def _leased(self, item: T, delivery: Delivery, seconds: float | None) -> BrokerLease[T]:
        """The lease of a delivery that has just come, of so many seconds."""
        until = NEVER if seconds is None else monotonic() + seconds
        self._open[id(delivery)] = (delivery, until)
        self._kept().leased(until)
        return BrokerLease(self, self.epoch, item, delivery)

    def _kept(self) -> Keeper:
        keeper = self._keeper
        if keeper is None:
            keeper = self._keeper = Keeper(self)
        return keeper

    def _open_leases(self) -> int:
        """How many this process has open on the queue, by whatever handle."""
        identity = self._identity
        return sum(
            len(other._open)
            for other in list(handles())
            if isinstance(other, Settling) and other._identity == identity
        )

    # -- settling them

    def settle(self, leases: Sequence[BrokerLease[Any]], how: int, delay: float, error: str) -> None:
        """Settle leases that are held; see `Settler`.

        Raises:
            BrokerUnreachable: the broker is; they are held as before.
        """
        held: list[BrokerLease[Any]] = []
        taken: list[tuple[int, tuple[Delivery, float]]] = []
        for lease in leases:
            entry = self._open.pop(id(lease.delivery), None)
            if entry is None:
                lease.stage = LOST
            else:
                held.append(lease)
                taken.append((id(lease.delivery), entry))
        if not held:
            return
        deliveries = [lease.delivery for lease in held]
        try:
            if how == ACKNOWLEDGED:
                lost = self._call(lambda backend: backend.acknowledge(deliveries))
            elif how == GIVEN_BACK:
                lost = self._give_back(deliveries, delay, error)
            elif how == PUT_BACK:
                lost = self._put_back(deliveries, delay)
                how = GIVEN_BACK
            else:
                lost = self._fail(deliveries, error, 1)
        except BaseException:
            self._open.update(taken)
            raise
        if lost:
            gone = {id(delivery) for delivery in lost}
            for lease in held:
                lease.stage = LOST if id(lease.delivery) in gone else how
        else:
            for lease in held:
                lease.stage = how
        self._after_settling()

    def _after_settling(self) -> None:
        if self._is_closed and not self._open:
            self._disconnect()

    def _give_back(self, deliveries: Sequence[Delivery], delay: float, error: str) -> list[Delivery]:
        """Give back what failed once more; what has failed too often goes to the dead letters."""
        record = self._call(self._control.read)
        if record.dropped:
            return list(self._call(lambda backend: backend.acknowledge(deliveries)))
        most = self._settings.max_attempts
        lost: list[Delivery] = []
        failed = [delivery for delivery in deliveries if most and delivery.attempts + 1 >= most]
        if failed:
            lost += self._fail(failed, error, 1)
            deliveries = [delivery for delivery in deliveries if delivery.attempts + 1 < most]
        if deliveries:
            lost += self._call(lambda backend: backend.release(deliveries, delay, True, error))
        return lost

    @property
    def counts_deliveries(self) -> bool:
        """Whether what was leased cannot be given back without a count: the broker counts whatever it delivers."""
        return self._capabilities.counts_deliveries

    def _put_back(self, deliveries: Sequence[Delivery], delay: float) -> list[Delivery]:
        """Give back as if it had not been leased."""
        if self.counts_deliveries:
            raise NotSupported(
                f"{self._shown} counts whatever is delivered as an attempt; release it with counted=True, or use "
                "shm://, sqlite:// or redis://"
            )
        if self._call(self._control.read).dropped:
            return list(self._call(lambda backend: backend.acknowledge(deliveries)))
        return list(self._call(lambda backend: backend.release(deliveries, delay, False, "")))

    def _fail(self, deliveries: Sequence[Delivery], error: str, more: int) -> list[Delivery]:
        """Give up what is leased; `more`: attempts that its count does not have yet."""
        letters = self._options.dead_letters
        if letters is None:
            return list(self._call(lambda backend: backend.bury(deliveries, error, more)))
        lost: list[Delivery] = []
        for delivery in deliveries:
            lost += self._call(partial(self._move, letters, delivery, error, more))
        return lost

    def _move(
        self, letters: Any, delivery: Delivery, error: str, more: int, backend: Backend
    ) -> Sequence[Delivery]:
        """Move what is leased to the dead letters: put there first, then taken from here."""
        one = (delivery,)
        try:
            item = item_of(self._payload, delivery.body, delivery.content_type)
        except Exception:
            item = delivery.body
        letter = DeadLetter(item, delivery.attempts + more, error, delivery.pid or os.getpid())
        try:
            letters.put(letter, block=False)
        except Full:
            # The count says that it has failed too often: the next process that gets it tries this again.
            return backend.release(one, _TRY_AGAIN_SECONDS, bool(more), error)
        except Exception as bad:
            # Dead letters that cannot take it are no reason to lose it, or to stop here.
            _tell(bad, f"the dead letters of {self!r} cannot take an item; it is set aside")
            return backend.bury(one, error, more)
        return backend.acknowledge(one)

    def dropped(self, delivery: Delivery) -> None:
        """A lease was collected that nobody had settled: see `Settler`."""
        keeper = self._keeper
        if keeper is not None and id(delivery) in self._open:
            keeper.dropped.put(delivery)

    def _give_back_dropped(self, deliveries: Sequence[Delivery]) -> None:
        mine = [delivery for delivery in deliveries if self._open.pop(id(delivery), None) is not None]
        if mine:
            self._give_back(mine, 0.0, "the lease was dropped")
            self._after_settling()

    def _end_leases(self) -> None:
        """Give back what was leased for a time that is over; the broker does not."""
        now = monotonic()
        over = [delivery for delivery, until in list(self._open.values()) if until <= now]
        mine = [delivery for delivery in over if self._open.pop(id(delivery), None) is not None]
        if mine:
            self._give_back(mine, 0.0, "the lease was over")
            self._after_settling()

    def _settle_taken(self, done: list[Delivery], deadline: float) -> None:
        """Acknowledge what coroutines took."""
        self._call(lambda backend: backend.acknowledge(done), deadline)
        for delivery in done:
            self._open.pop(id(delivery), None)

    # -- what comes

    def _sound(self, found: list[Delivery]) -> list[Delivery]:
        """Those that have not failed too often; the others are given up."""
        most = self._settings.max_attempts
        if not most:
            return found
        failed = [delivery for delivery in found if delivery.attempts >= most]
        if not failed:
            return found
        for delivery in failed:
            self._fail((delivery,), delivery.error or "it was not settled", 0)
        return [delivery for delivery in found if delivery.attempts < most]

    def _read_usual(self, deliveries: Sequence[Delivery]) -> list[Any] | None:
        """The items of deliveries that are all of our own content type, and sound; None: `_read` each."""
        usual, decode = self._payload.content_type, self._payload.decode
        try:
            items = [decode(each.body, usual) for each in deliveries if each.content_type == usual]
        except Exception:
            return None
        return items if len(items) == len(deliveries) else None

    def _read(self, delivery: Delivery) -> Any:
        """The item of a delivery.

        Raises:
            BadMessage: there is none that this codec can read.
        """
        try:
            return item_of(self._payload, delivery.body, delivery.content_type)
        except (MemoryError, RecursionError):
            raise
        except BadMessage:
            raise
        except Exception as error:
            raise BadMessage(
                f"{self._shown}: a message of {len(delivery.body)} bytes, content type {delivery.content_type!r}, "
                f"cannot be read by the codec {self._payload.name!r}: {error_text(error)}",
                delivery.body,
                delivery.content_type,
            ) from error

    def _bad(self, delivery: Delivery, error: Exception, leased: bool) -> None:
        """A message that cannot be read: to the dead letters, or aside."""
        if leased:
            self._fail((delivery,), error_text(error), 1)
            return
        letters = self._options.dead_letters
        if letters is not None:
            letters.put(DeadLetter(delivery.body, delivery.attempts, error_text(error), os.getpid()))


def _tell(error: Exception, text: str) -> None:
    """To `sys.unraisablehook`: nobody waits for this error, and nobody should miss it."""
    told: Any = SimpleNamespace(
        exc_type=type(error), exc_value=error, exc_traceback=error.__traceback__, err_msg=text, object=None
    )
    sys.unraisablehook(told)
