"""BrokerQueue: all methods of a queue, on what a transport's `Backend` does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from time import monotonic
from typing import TypeVar

from ..errors import BadMessage, Empty, NotSupported, ShutDown
from .awaiting import Awaiting
from .broker_lease import BrokerLease, BrokerLeases
from .broker_statistics import BrokerStatistics
from .handle import Options
from .link import NEVER, Healing, deadline_after, left_until, pause
from .ordinary_memory import OrdinaryMemory
from .payload import encoded
from .port import Backend, ConnectionLost, Delivery, Message
from .retrying import Retrying, checked_most

__all__ = ["BrokerQueue"]

T = TypeVar("T")

# At the end of a queue, whether the last items come back is looked at so often.
_END_SECONDS = 0.02
# Whether consumers are still held back is looked at so often.
_HELD_SECONDS = 0.25
# So long is waited there for what others may have taken ahead. They give it back much sooner, if they live.
_AHEAD_SECONDS = 2.0


class BrokerQueue(Awaiting[T], Retrying[T], OrdinaryMemory):
    """A queue on a broker or in a file: the methods of `conveyor.Queue`, with the same meaning.

    Made by `conveyor.connect`. What each transport promises stands in docs/transports.md.
    """

    def __init__(self, options: Options) -> None:
        letters = options.dead_letters
        if letters is not None and not callable(getattr(letters, "put", None)):
            raise TypeError(f"dead_letters is {letters!r}; it must be a queue, or None")
        super().__init__(options)

    _part = ""
    """What the control record calls these consumers."""

    def _start(self) -> None:
        super()._start()
        self._looks_at_end = not self._capabilities.waits_at_end
        self._alone_at = NEVER  # when what others may have at the end is waited for no longer

    def _push(self, backend: Backend, messages: Sequence[Message], wait: float) -> int:
        return backend.send(messages, wait)

    # -- putting -----------------------------------------------------------------------------------------

    def put(self, obj: T, block: bool = True, timeout: float | None = None) -> None:
        """Put an item; the broker has it for good when this returns.

        Args:
            obj: what the codec takes; it is encoded here, in the caller.
            block: wait for room if a bound is reached.
            timeout: seconds to wait at most, the whole call, reconnecting included; None: for ever.

        Raises:
            queue.Full: no room, within the time.
            ShutDown: the queue was shut down, before or while this waited.
            ValueError: the queue is closed in this process.
            TypeError, ValueError: the codec cannot take the item; the text names its type and codecs that can.
            ItemTooLarge: it can never be put.
            BrokerUnreachable: the broker could not be reached in time.
        """
        if self._is_closed:
            self._check_open()
        body, content_type = encoded(self._payload, obj)
        message = Message(body, content_type, f"{self._ids}{next(self._numbers):x}")
        deadline = NEVER if timeout is None and block else deadline_after(timeout, block)
        self._send((message,), deadline)

    def put_nowait(self, obj: T) -> None:
        """`put(obj, block=False)`."""
        self.put(obj, False)

    def put_many(self, items: Iterable[T], block: bool = True, timeout: float | None = None) -> None:
        """Put items, in order, in as few messages to and fro as the broker allows.

        An item that the codec cannot take raises before any is put. Whatever else is raised, its `items_put` says how
        many are in.
        """
        self._check_open()
        deadline = deadline_after(timeout, block)
        messages = self._messages(items)
        if messages:
            self._send(messages, deadline)

    # -- taking ------------------------------------------------------------------------------------------

    def get(self, block: bool = True, timeout: float | None = None) -> T:
        """Take an item, for good.

        Args:
            block: wait for an item if there is none.
            timeout: seconds to wait at most, the whole call, reconnecting included; None: for ever.

        Raises:
            queue.Empty: nothing to take, within the time.
            ShutDown: the queue was shut down and has no more items.
            ProducerLost: the same, and a producer had died inside `producing()`.
            ValueError: the queue is closed in this process.
            BadMessage: a message is damaged, or none of ours; it is out of the way.
            BrokerUnreachable: the broker could not be reached in time.
        """
        if self._is_closed:
            self._check_open()
        deadline = NEVER if timeout is None and block else deadline_after(timeout, block)
        (delivery,) = self._fetch(1, deadline, None, True)
        try:
            return self._read(delivery)  # type: ignore[no-any-return]
        except BadMessage as error:
            self._bad(delivery, error, False)
            raise

    def get_nowait(self) -> T:
        """`get(block=False)`."""
        return self.get(False)

    def get_many(self, max_items: int = 100, timeout: float | None = None, block: bool = True) -> list[T]:
        """Take what is there, at most `max_items`; waits for the first item only.

        At the end it raises as `get` does, never an empty list. If a message cannot be read, that exception is
        raised and its `items_received` has the others.
        """
        self._check_open()
        deliveries = self._fetch(checked_most(max_items), deadline_after(timeout, block), None, True)
        items: list[T] | None = self._read_usual(deliveries)
        if items is not None:
            return items
        items = []
        bad: BadMessage | None = None
        for delivery in deliveries:
            try:
                items.append(self._read(delivery))
            except BadMessage as error:
                bad = bad or error
                self._bad(delivery, error, False)
        if bad is not None:
            bad.items_received = items  # type: ignore[attr-defined]
            raise bad
        return items

    def peek(self, max_items: int = 1) -> list[T]:
        """The items that wait, in the order in which they will be taken, at most `max_items`; none is taken.

        No attempt is counted, nothing is leased, and others take them meanwhile: what it shows is out of date at once.
        It does not wait: of an empty queue, ended or not, it is an empty list. It shows what `qsize` counts.

        Raises:
            NotSupported: the broker shows nothing without handing it out; the text says what to do instead.
            ValueError: `max_items` is below 1, or the queue is closed in this process.
            BadMessage: a message is damaged, or none of ours; it stays where it is. `items_received` has the others.
            BrokerUnreachable: the broker could not be reached in time.
        """
        self._check_open()
        most = checked_most(max_items)
        items: list[T] = []
        bad: BadMessage | None = None
        for delivery in self._call(lambda backend: backend.peek(most)):
            try:
                items.append(self._read(delivery))
            except BadMessage as error:
                bad = bad or error
        if bad is not None:
            bad.items_received = items  # type: ignore[attr-defined]
            raise bad
        return items

    def purge(self) -> int:
        """Drop what waits, and what waits for its delay; how many items that were.

        What is under lease stays with its holder, and waits again if it is given back. Whether it is one step stands in
        docs/transports.md; where it is not, what is put meanwhile stays.

        Raises:
            ValueError: the queue is closed in this process.
            BrokerUnreachable: the broker could not be reached in time; some may have gone.
        """
        self._check_open()
        return self._call(lambda backend: backend.clear())

    def lease(self, timeout: float | None = None, lease_seconds: float | None = None) -> BrokerLease[T]:
        """Take an item that comes back unless it is acknowledged: at least once.

        As `conveyor.Queue.lease`. What a process had that died comes back when the broker notices: see
        docs/transports.md for how soon.
        """
        (lease,) = self._lease_some(1, timeout, lease_seconds)
        return lease

    def lease_many(
        self, max_items: int = 100, timeout: float | None = None, lease_seconds: float | None = None
    ) -> BrokerLeases[T]:
        """Take what is there under lease, at most `max_items`; waits for the first item only. See `lease`."""
        return BrokerLeases(self._lease_some(checked_most(max_items), timeout, lease_seconds))

    def _lease_some(
        self, most: int, timeout: float | None, lease_seconds: float | None
    ) -> list[BrokerLease[T]]:
        self._check_open()
        seconds = self._seconds(lease_seconds)
        return self._leases_of(self._fetch(most, deadline_after(timeout), seconds, False), seconds)

    def _seconds(self, lease_seconds: float | None) -> float | None:
        if lease_seconds is None:
            return self._settings.lease_seconds or None
        if not lease_seconds > 0:
            raise ValueError(f"lease_seconds is {lease_seconds}; it must be above 0, or None")
        return None if lease_seconds == NEVER else float(lease_seconds)

    def _leases_of(self, deliveries: list[Delivery], seconds: float | None) -> list[BrokerLease[T]]:
        leases: list[BrokerLease[T]] = []
        bad: BadMessage | None = None
        for delivery in deliveries:
            try:
                leases.append(self._leased(self._read(delivery), delivery, seconds))
            except BadMessage as error:
                bad = bad or error
                self._bad(delivery, error, True)
        if bad is None:
            return leases
        others = [lease.delivery for lease in leases]
        if others:  # in their place, for the next call, which finds the bad one gone
            for lease in leases:
                lease.stage = 2  # given back
                self._open.pop(id(lease.delivery), None)
            self._call(lambda backend: backend.release(others, 0.0, False, ""))
        raise bad

    def _fetch(
        self,
        most: int,
        deadline: float,
        seconds: float | None,
        for_good: bool,
        come_by: float = NEVER,
    ) -> list[Delivery]:
        """Take or lease what is there, at most `most`.

        Args:
            most: at least 1.
            deadline: of the call, for reconnecting as well.
            seconds: of the leases.
            for_good: take, not lease.
            come_by: when to wait for an item no longer, if that is before.

        Raises:
            Empty: nothing came in time. And what `get` raises.
        """
        if come_by > deadline:
            come_by = deadline
        link = self._link
        # What has failed too often goes elsewhere: whatever it is taken for, it is leased first.
        limited = self._settings.max_attempts
        healing: Healing | None = None
        take = _take if for_good and not limited else _lease
        while True:
            backend = link.backend or link.open(deadline)
            generation = link.generation
            wait = self._slice if come_by == NEVER else left_until(come_by, self._slice)
            if self._looks_at_end and self._control.is_over():
                wait = 0.0
            try:
                held = self._control.is_held(backend, self._part)
                found = [] if held else take(backend, most, wait, seconds)
                if not found:
                    found = self._at_end(backend, most, seconds, take)
            except ConnectionLost as error:
                healing = healing or link.healing(deadline)
                healing.after(generation, error)
                continue
            healing = None
            if found:
                if not limited:
                    return found
                found = self._sound(found)
                if found:
                    if for_good:
                        self._call(partial(_acknowledge, found), deadline)
                    return found
                continue  # all of them had failed too often
            if left_until(come_by, 1.0) <= 0:
                backend.rest()
                raise Empty
            if held:
                backend.rest()  # what it is sent while nobody may take it goes back
                pause(left_until(come_by, _HELD_SECONDS))
            elif self._control.is_over():
                # Others have the last items, and a backend may return at once at the end.
                pause(left_until(come_by, _END_SECONDS))

    def _at_end(self, backend: Backend, most: int, seconds: float | None, take: _Take) -> list[Delivery]:
        """Nothing was there. At the queue's end raise what that is; what has come meanwhile.

        Raises:
            ShutDown, ProducerLost: the queue was shut down, and nothing is there that might still be taken.
        """
        record = self._control.look(backend)
        if not record.ended:
            return []
        if record.dropped:
            backend.purge()
            raise self._control.end()
        # What was put before the end, and after we had looked.
        found = [] if record.holds(self._part) else take(backend, most, 0.0, seconds)
        if found:
            return found
        depth = backend.depth()
        # What this process has itself under lease makes no end for others, and no waiting for itself.
        elsewhere = (depth.leased or 0) - self._open_leases()
        if depth.ready or depth.delayed or depth.elsewhere or elsewhere > 0:
            self._alone_at = NEVER
            return []
        if depth.ahead and not self._open_leases():
            self._alone_at = min(self._alone_at, monotonic() + _AHEAD_SECONDS)
            if monotonic() < self._alone_at:
                return []
        raise self._control.end()

    def __iter__(self) -> Iterator[T]:
        """Take items until the queue is shut down and empty; others may do the same at the same time."""
        while True:
            try:
                item = self.get()
            except ShutDown:
                return
            yield item

    __contains__ = None  # `item in queue` would take items

    # -- state -------------------------------------------------------------------------------------------

    def qsize(self) -> int:
        """How many items wait now.

        Raises:
            NotSupported: the broker does not tell.
        """
        ready = self._call(lambda backend: backend.depth()).ready
        if ready is None:
            raise NotSupported(
                f"{self._shown}: this transport cannot tell how many items wait; get(timeout=0) tells whether one does"
            )
        return ready

    def empty(self) -> bool:
        """Whether no item waits now."""
        return self.qsize() == 0

    def full(self) -> bool:
        """Whether a bound is reached now."""
        return self._call(lambda backend: backend.is_full(self._settings))

    def oldest_age(self) -> float:
        """Seconds since the oldest item that waits was put; 0.0: nothing waits.

        On NATS by the server's clock, on Kafka by that of the process which put it. It asks the broker for the item.

        Raises:
            NotSupported: the transport keeps no time with an item; the text says what to do instead.
            BrokerUnreachable: the broker is.
        """
        age = self._call(lambda backend: backend.oldest())
        if age is None and self._call(lambda backend: backend.depth()).ready == 0:
            return 0.0
        if age is None:
            raise NotSupported(
                f"{self._shown}: items of {self._options.url.scheme}:// carry no time, so that nobody can tell how "
                "long they have waited; judge how many wait (qsize), or use nats:// or kafka://, which tell"
            )
        return age

    def statistics(self) -> BrokerStatistics:
        """A snapshot: what the broker counts over all processes, and None for what it does not."""
        figures, depth = self._call(lambda backend: (backend.figures(), backend.depth()))
        told = {"depth": depth.ready, "leased": depth.leased, "returned": None, **figures}
        return BrokerStatistics(
            transport=self._options.url.scheme, reconnects=self._link.generation - 1, **told
        )

    # -- holding consumers back ----------------------------------------------------------------------------

    def pause(self) -> None:
        """Hold the consumers back, on all machines, until `resume`: to `get` and `lease` the queue looks empty.

        As `conveyor.Queue.pause`: puts go on, what is under lease can be settled, and `peek`, `qsize` and `purge` do
        what they do. A consumer knows of it within a second, and takes until then; so does it of `resume`.

        Raises:
            BrokerUnreachable: the broker is.
        """
        self._control.hold(self._part, True)

    def resume(self) -> None:
        """Undo `pause`; idempotent. Whoever waits for an item goes on within a second."""
        self._control.hold(self._part, False)

    @property
    def is_paused(self) -> bool:
        """Whether consumers are held back by `pause`, as the broker says now."""
        return self._part in self._call(self._control.read).paused

    # -- ending ------------------------------------------------------------------------------------------

    @property
    def reconnect_seconds(self) -> float:
        """How long a call without a timeout tries to reach a broker that is away; `reconnect_timeout` of the URL."""
        return float(self._options.url.options.get("reconnect_timeout", 0.0))

    def shutdown(self, immediate: bool = False) -> None:
        """Shut the queue down for all processes on all machines; as `conveyor.Queue.shutdown`."""
        self._control.shutdown(immediate)
        if immediate:
            self._call(lambda backend: backend.purge())

    def close(self) -> None:
        """Say that this process will put and get no more by this handle; idempotent. Open leases can still be settled.

        The connection is closed when the last lease is.
        """
        if not self._is_closed:
            self._is_closed = True
            self._stop_awaiting()
            self._after_settling()

    def join_thread(self) -> None:
        """Return at once: what was put is at the broker already.

        Raises:
            AssertionError: `close` was not called before, as in `multiprocessing`.
        """
        assert self._is_closed, f"Queue {self!r} not closed"

    def cancel_join_thread(self) -> None:
        """Do nothing: leaving a process never waits, and never loses what was put."""


_Take = Callable[[Backend, int, float, "float | None"], list[Delivery]]


def _take(backend: Backend, most: int, wait: float, seconds: float | None) -> list[Delivery]:
    return backend.take(most, wait)


def _lease(backend: Backend, most: int, wait: float, seconds: float | None) -> list[Delivery]:
    return backend.lease(most, wait, seconds)


def _acknowledge(deliveries: list[Delivery], backend: Backend) -> None:
    backend.acknowledge(deliveries)
