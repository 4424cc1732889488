"""Topic: every subscriber gets every event."""

from __future__ import annotations

import copyreg
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from .._memory.devices import Cuda, copies_devices
from .._memory.labels import checked_label, mark
from .._memory.names import checked_name
from .._memory.open_or_create import open_or_create
from .._memory.producing import Producing
from .._memory.references import RegionReference, forget_received, reference_to_region
from .._native import TOPIC_HEADER, TOPIC_LAYOUT, Region, TopicChannel
from .._public import public
from ..errors import Full
from .statistics import SubscriberStatistics, TopicStatistics
from .subscription import MODES, Subscription, WhenSlow

__all__ = ["DEFAULT_BYTES", "Topic", "checked_keep", "open_topic"]

T = TypeVar("T")

_KIND = "topic"
DEFAULT_BYTES = 64 * 2**20
_LEAST_BYTES = 64 * 2**10
_MOST_BYTES = 2**37
_ALL = 2**64 - 1
_BATCH = 256
_WORDS = {number: word for word, number in MODES.items()}


def _capacity(max_bytes: int) -> int:
    """The log's size: the next power of two, at least 64 KiB."""
    if not hasattr(max_bytes, "__index__"):
        raise TypeError(f"max_bytes is {max_bytes!r}; it must be an integer")
    if not 1 <= max_bytes <= _MOST_BYTES:
        raise ValueError(f"max_bytes is {max_bytes}; it must be at least 1, and at most {_MOST_BYTES}")
    return 1 << (max(int(max_bytes), _LEAST_BYTES) - 1).bit_length()


def checked_keep(keep: int | None) -> int | None:
    """How many events are kept; None: as many as there is room for.

    Raises:
        TypeError, ValueError: it is no such number.
    """
    if keep is None:
        return None
    if not hasattr(keep, "__index__"):
        raise TypeError(f"keep is {keep!r}; it must be a number of events, or None for as many as fit")
    if not 0 <= keep < _ALL:
        raise ValueError(f"keep is {keep}; it must be 0 or more events, or None for as many as fit")
    return int(keep)


def _kept(keep: int | None) -> int:
    number = checked_keep(keep)
    return _ALL if number is None else number


def _named_region(name: str, create: bool | None, size: int, label: str = "") -> Region:
    region, _ = open_or_create(
        create,
        lambda: Region.open_named(name, _KIND, TOPIC_LAYOUT),
        lambda: mark(Region.create_named(name, _KIND, size, TOPIC_LAYOUT), label),
    )
    return region


def open_topic(
    name: str,
    create: bool | None = None,
    max_bytes: int = DEFAULT_BYTES,
    keep: int | None = None,
    cuda: Cuda | None = None,
) -> Topic[Any]:
    """The topic of that name; see `conveyor.connect`."""
    size = TOPIC_HEADER + _capacity(max_bytes)
    kept, copies = _kept(keep), copies_devices(cuda)
    return Topic.on_region(_named_region(checked_name(name, _KIND), create, size), kept, copies)


@public
class Topic(TopicChannel[T]):
    """Tells every subscriber of every event, whatever process it is in; one copy in memory for all.

        topic = Topic()
        with topic.subscribe("prices.*") as prices:
            topic.publish({"eur": 1.08}, key="prices.eur")
            print(prices.get())

    The log is a ring of `max_bytes`. A subscriber reads on from its own place in it, without a lock. One that is
    slow does what it asked for in `subscribe`: it holds up the publishers, or loses the oldest events, or fails.
    Any process may die at any moment: nothing half-published is ever seen, and a dead subscriber holds up nobody
    for more than a second. A topic passes to other processes as a queue does.

    Args:
        name: of a topic that unrelated processes share, as by `connect(f"shm://{name}?kind=topic")`; None: none.
        max_bytes: bytes of the log, with at least 64 for each event: how far a subscriber may be behind. Rounded up
            to a power of two, at least 64 KiB. An event may take a quarter of it.
        keep: how many of the events that all have read are kept for later subscribers with `from_="oldest"`; None: as
            many as there is room for. An existing named topic has its own `max_bytes` and `keep`.
        label: what those who look from outside call it, as of a `Queue`.
        cuda: "copy": tensors on a GPU go through host memory, to their device again; else they are a TypeError.

    Raises:
        ValueError, TypeError: an argument is not as above; the text says what would be right.
        WrongKind: what has that name is no topic. And what `connect` raises.
        OutOfMemory: the system has no memory or address space for it.
    """

    def __init__(
        self,
        name: str | None = None,
        max_bytes: int = DEFAULT_BYTES,
        keep: int | None = None,
        *,
        label: str | None = None,
        cuda: Cuda | None = None,
    ) -> None:
        forget_received()
        label = checked_label(label)
        size, kept = TOPIC_HEADER + _capacity(max_bytes), _kept(keep)
        copies = copies_devices(cuda)
        if name is None:
            region = mark(Region.create(_KIND, size, TOPIC_LAYOUT), label)
        else:
            region = _named_region(checked_name(name, _KIND), None, size, label)
        self._attach(region, kept, copies)

    def _attach(self, region: Region, keep: int, copies: bool) -> None:
        super().__init__(region, keep, copies)
        self._copies_devices = copies

    @classmethod
    def on_region(cls, region: Region, keep: int, copies: bool = False) -> Topic[Any]:
        """A topic on shared memory that exists already; for the transports."""
        self: Topic[Any] = cls.__new__(cls)
        self._attach(region, keep, copies)
        return self

    def subscribe(
        self,
        keys: str | Sequence[str] | None = None,
        from_: str | int = "new",
        filter: Callable[[T], object] | None = None,  # noqa: A002
        when_slow: WhenSlow = "block",
    ) -> Subscription[T]:
        """Subscribe, from now on; the subscription is a context manager and an iterator.

        Args:
            keys: a pattern, or several, of the keys that are wanted: words with dots between, where `*` is any one
                word and `#` any number of words. Other events are passed over without being decoded. None: all events,
                those without a key included.
            from_: "new": what is published from now on; "oldest": from the oldest event kept on; or the number of an
                event, as `Subscription.seq` gives it. If that is not kept any more, it starts at the oldest one, and
                `missed` counts what is gone.
            filter: a function of an event; only those for which it is true are received.
            when_slow: what happens when this subscription is `max_bytes` behind. "block": publishers wait for it;
                "drop_oldest": it loses the oldest events, and `missed` counts them; "fail": it is over, and raises
                `Lagged`.

        Raises:
            ValueError, TypeError: an argument is not as above.
            ConveyorError: 65,536 subscriptions are open.
            OutOfMemory: the system has no memory for another.
        """
        return Subscription(self, keys, from_, filter, when_slow)

    # -- for coroutines -------------------------------------------------------------------------------

    async def apublish(self, event: T, key: str | None = None, timeout: float | None = None) -> None:
        """`publish` for coroutines: others run while it waits for room. Cancelled, it has published nothing."""
        from ._aio_wait import deadline_after, wait_for_room

        deadline = deadline_after(timeout)
        while True:
            try:
                return self.publish(event, key, 0)
            except Full:
                if not await wait_for_room(self, deadline):
                    raise

    async def apublish_many(
        self, events: Iterable[T], key: str | None = None, timeout: float | None = None
    ) -> None:
        """`publish_many` for coroutines, in portions: cancelled, some of the events may be out.

        Raises:
            Exception: as for `publish_many`, with `events_published`.
        """
        from ._aio_wait import deadline_after, wait_for_room

        deadline = deadline_after(timeout)
        left = list(events)
        published = 0
        while left:
            some = left[:_BATCH]
            try:
                self.publish_many(some, key, 0)
            except Exception as error:
                done: int = getattr(error, "events_published", 0)
                published += done
                del left[:done]
                error.events_published = published  # type: ignore[attr-defined]
                if not isinstance(error, Full) or not await wait_for_room(self, deadline):
                    raise
            else:
                published += len(some)
                del left[: len(some)]

    # -- state and end --------------------------------------------------------------------------------

    def shutdown(self) -> None:
        """Say that nothing more will be published, for all processes; it cannot be undone.

        From now on `publish` raises `ShutDown`. Subscribers receive what they have not read yet, and then end;
        a process that subscribes later with `from_="oldest"` gets what is kept, and the end. They still learn of a
        producer that died inside `producing()` before.

        Raises:
            queue.Full: a process that was stopped inside `publish` has held the topic's lock for a second.
        """
        self._shutdown()

    @property
    def is_shutdown(self) -> bool:
        """Whether the topic was shut down, or has ended by itself."""
        return self._is_shut_down

    def producing(self) -> Producing[Topic[T]]:
        """A block that counts as a producer: when the last one is left, the topic shuts down by itself.

        `with topic.producing(): ...` may be entered by any number of processes and threads, and more than
        once. Say `expect_producers` before, so that the first to leave does not end the topic before the
        others have come. A process that dies inside is noticed within a second by those that wait for an event: it
        counts as having left, but each subscriber that has received all then gets `ProducerLost` in the place of
        `ShutDown`, in iterating, too, and however late it subscribes. A block that is left by an exception is left.

        Raises (on entering):
            ShutDown: the topic has ended already.
            ConveyorError: 65,536 processes are inside.
            OutOfMemory: the system has no memory for another.
        """
        return Producing(self)

    def expect_producers(self, n: int) -> None:
        """Say how many `producing()` blocks must still be entered before the topic may end by itself.

        A block within another one of the same thread (asyncio task) is not one more. When none is
        expected and nobody is inside, the topic shuts down at once. A producer that dies before it has
        entered stays expected: only the program can know, and say again how many will come.

        Args:
            n: 0 or more; it takes the place of what was said before.

        Raises:
            ShutDown: the topic has ended already.
            ValueError, TypeError: it is no such number.
        """
        self._expect_producers(n)

    def statistics(self) -> TopicStatistics:
        """A snapshot of counters over all processes, and of each subscriber."""
        forget_received()
        seen = self._statistics()
        seen["subscribers"] = tuple(
            SubscriberStatistics(pid, alive, _WORDS.get(mode, "block"), seq, lag, missed, received)  # type: ignore[arg-type]
            for pid, mode, seq, lag, missed, received, alive in seen["subscribers"]
        )
        return TopicStatistics(**seen)

    # -- pickling -------------------------------------------------------------------------------------

    def __getstate__(self) -> tuple[Any, ...]:
        return (reference_to_region(self._region), self._keep, self._copies_devices)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        reference: RegionReference = state[0]
        self._attach(reference.open(), *state[1:])

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return copyreg.__newobj__, (type(self),), self.__getstate__()  # type: ignore[attr-defined]
