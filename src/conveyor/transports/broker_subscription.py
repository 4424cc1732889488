"""BrokerSubscription: what one process reads of a topic on a broker."""

# pyright: reportPrivateUsage=false
# A topic and its subscriptions are one thing in two files.
from __future__ import annotations

import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Generic, NoReturn, Self, TypeVar

from ..errors import BadMessage, Empty, Lagged, ProducerLost, ShutDown
from ..topics.subscription import MODES, checked_patterns, checked_start
from .broker_lease import error_text
from .key_patterns import matcher
from .link import NEVER, Healing, deadline_after, left_until
from .payload import item_of
from .port import ConnectionLost
from .reader import Reader
from .sending import Sending
from .topic_port import Cursor, Event, TopicBackend, WhenSlow

__all__ = ["BrokerSubscription"]

T = TypeVar("T")


class BrokerSubscription(Generic[T]):
    """What one process reads of a topic on a broker; the methods of `conveyor.Subscription`.

    It belongs to the process that made it, and may be used by all threads there: each event goes to one of them.
    """

    def __init__(
        self,
        topic: Sending[TopicBackend],
        forgotten: SimpleQueue[Cursor],
        keys: str | Sequence[str] | None,
        from_: str | int,
        filter: Callable[[T], object] | None,  # noqa: A002
        when_slow: WhenSlow,
    ) -> None:
        if when_slow not in MODES:
            raise ValueError(f"when_slow is {when_slow!r}; it must be 'block', 'drop_oldest' or 'fail'")
        if filter is not None and not callable(filter):
            raise TypeError(f"filter is {filter!r}; it must be a function of an event, or None")
        checked_start(from_)
        start = from_ if isinstance(from_, str) else int(from_)
        patterns = checked_patterns(keys)
        self._topic = topic
        self._forgotten = forgotten
        self._epoch = topic.epoch
        self._fits = matcher(patterns)
        self._filter = filter
        self._lock = threading.Lock()  # over the cursor: one thread reads
        self._ahead: deque[Event] = deque()
        self._over: Exception | None = None
        self._is_closed = False
        self._reader: Reader | None = None
        self._cursor: Cursor = topic._call(lambda backend: backend.subscribe(patterns, start, when_slow))
        self._generation = topic._link.generation
        self._seq = self._cursor.position

    # -- reading

    def get(self, timeout: float | None = None) -> T:
        """The next event; waits for one.

        Args:
            timeout: seconds to wait at most, the whole call; None: for ever.

        Raises:
            queue.Empty: nothing came, within the time.
            ShutDown: the topic was shut down or has ended by itself, and all its events were received.
            ProducerLost: the same, and a producer had died inside `producing()`.
            Lagged: the subscription was overrun, and is one with `when_slow="fail"`.
            BadMessage: an event is damaged, or none of ours; it counts as received.
            ValueError: the subscription is closed.
            RuntimeError: it was made by another process, of which this is a fork.
            BrokerUnreachable: the broker could not be reached in time.
        """
        deadline = deadline_after(timeout)
        while True:
            event = self._next(deadline)
            item = self._decode(event)
            if self._filter is None or self._filter(item):
                return item

    def get_nowait(self) -> T:
        """The next event, if one is there. As `get`, without waiting."""
        return self.get(0)

    def get_many(self, max_events: int = 100, timeout: float | None = None) -> list[T]:
        """The events that are there, at most `max_events`; waits for the first one only.

        Raises:
            Exception: as for `get`. The exception's `events_received` holds those that were read before it.
        """
        if max_events < 1:
            raise ValueError(f"max_events is {max_events}; it must be at least 1")
        events: list[T] = []
        try:
            events.append(self.get(timeout))
            while len(events) < max_events:
                try:
                    events.append(self.get(0))
                except (Empty, ShutDown, ProducerLost):
                    break
        except Exception as error:
            error.events_received = events  # type: ignore[attr-defined]
            raise
        return events

    def _decode(self, event: Event) -> T:
        topic = self._topic
        try:
            return item_of(topic._payload, event.body, event.content_type)  # type: ignore[no-any-return]
        except (MemoryError, RecursionError, BadMessage):
            raise
        except Exception as error:
            raise BadMessage(
                f"{topic._shown}: event {event.seq} of {len(event.body)} bytes, content type {event.content_type!r}, "
                f"cannot be read by the codec {topic._payload.name!r}: {error_text(error)}",
                event.body,
                event.content_type,
            ) from error

    def _check(self) -> None:
        if self._epoch != self._topic.epoch:
            raise RuntimeError("this subscription belongs to the process that this one was forked from")
        if self._is_closed:
            raise ValueError("the subscription is closed")
        if self._over is not None:
            raise self._over

    def _next(self, deadline: float, come_by: float = NEVER) -> Event:
        """The next event that fits the keys.

        Args:
            deadline: of the call, for reconnecting as well.
            come_by: when to wait for an event no longer, if that is before.
        """
        if come_by > deadline:
            come_by = deadline
        topic = self._topic
        link = topic._link
        healing: Healing | None = None
        while True:
            self._check()
            generation = link.generation
            wait = left_until(come_by, topic._slice)
            event = self._pop()
            if event is not None:
                return event
            if not self._lock.acquire(timeout=wait):
                wait = 0.0  # another thread waits for events: there are none
            else:
                try:
                    event = self._pop() or self._read(wait)
                except ConnectionLost as error:
                    healing = healing or link.healing(deadline)
                    healing.after(generation, error)
                    continue
                except Lagged as error:
                    self._over = error
                    raise
                finally:
                    self._lock.release()
            if event is not None:
                return event
            if left_until(come_by, 1.0) <= 0:
                raise Empty

    def _pop(self) -> Event | None:
        while True:
            try:
                event = self._ahead.popleft()
            except IndexError:
                return None
            self._seq = event.seq + 1
            if self._fits(event.key):
                return event

    def _read(self, wait: float) -> Event | None:
        topic = self._topic
        backend = topic._link.backend or topic._link.open()
        if self._generation != topic._link.generation:
            generation = topic._link.generation
            self._cursor.resume()
            self._generation = generation
        self._ahead += self._cursor.read(self._cursor.ahead, wait)
        event = self._pop()
        if event is not None or self._ahead:
            return event
        self._seq = max(self._seq, self._cursor.position)
        record = topic._control.look(backend)
        if not record.ended:
            return None
        # What was published before the end, and after we had looked.
        self._ahead += self._cursor.read(self._cursor.ahead, 0.0)
        event = self._pop()
        if event is None and not self._cursor.lag():
            raise topic._control.end()
        return event

    def __iter__(self) -> Iterator[T]:
        """The events, until the topic was shut down and all were received."""
        return self

    def __next__(self) -> T:
        try:
            return self.get()
        except ShutDown:
            raise StopIteration from None

    # -- for coroutines

    async def aget(self, timeout: float | None = None) -> T:
        """`get` for coroutines: others run while it waits. Cancelled, it has received nothing."""
        deadline = deadline_after(timeout)
        while True:
            self._check()
            event = self._pop()
            if event is None:
                self._reader = reader = self._reader or Reader(self._topic, self)
                await reader.wait(deadline)
                continue
            item = self._decode(event)
            if self._filter is None or self._filter(item):
                return item

    def _read_ahead(self, deadline: float, come_by: float) -> None:
        """Wait for an event, and leave it to the first caller that comes; in the thread of `Reader`."""
        self._ahead.appendleft(self._next(deadline, come_by))

    async def __aiter__(self) -> AsyncIterator[T]:
        """The events, until the topic was shut down and all were received."""
        while True:
            try:
                event = await self.aget()
            except ShutDown:
                return
            yield event

    # -- state

    @property
    def seq(self) -> int:
        """The number of the next event that is read; `from_=` of a later subscription goes on there.

        Numbers grow; whether each event is one more than the one before is the broker's.
        """
        return self._seq

    @property
    def missed(self) -> int:
        """How many events, of any key, were lost because this was too slow, or asked for and not kept any more."""
        return self._cursor.missed

    @property
    def lag(self) -> int:
        """How many events were published and not read yet."""
        return len(self._ahead) + self._topic._call(lambda _: self._cursor.lag())

    @property
    def closed(self) -> bool:
        """Whether it was closed here."""
        return self._is_closed

    def close(self) -> None:
        """End the subscription: it holds up nobody any more. Idempotent."""
        if not self._is_closed:
            self._is_closed = True
            if self._reader is not None:
                self._reader.stop()
            if self._epoch == self._topic.epoch:
                self._cursor.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, type_: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.close()

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a subscription belongs to the process that made it; pass the topic, and call subscribe() there"
        )

    def __copy__(self) -> Any:
        return self.__reduce__()

    def __repr__(self) -> str:
        state = "closed" if self._is_closed else f"seq {self.seq}, missed {self.missed}"
        return f"<Subscription of {self._topic._shown}: {state}>"

    def __del__(self) -> None:
        cursor = getattr(self, "_cursor", None)
        if cursor is not None and not self._is_closed and self._epoch == self._topic.epoch:
            self._forgotten.put(cursor)  # the collector may have come while a lock of its is held

    __contains__ = None  # `event in subscription` would read events
