"""Subscription: what one process reads of a topic."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Self, TypeVar

from .._native import SubscriptionChannel, close_if_made, enter_closing, leave_closing
from .._public import public
from ..errors import Empty, ShutDown

if TYPE_CHECKING:
    from .._native import TopicChannel

__all__ = ["MODES", "Subscription", "checked_patterns", "checked_start"]

T = TypeVar("T")

# SubscriberMode and From in core/include/conveyor.
MODES = {"block": 1, "drop_oldest": 2, "fail": 3}
_FROM = {"new": 0, "oldest": 1}
_FROM_NUMBER = 2

WhenSlow = Literal["block", "drop_oldest", "fail"]


def checked_patterns(keys: str | Sequence[str] | None) -> list[str]:
    """The patterns that are meant; none: all events."""
    if keys is None:
        return []
    patterns: list[Any] = [keys] if isinstance(keys, str) else list(keys)
    for pattern in patterns:
        if not isinstance(pattern, str):
            raise TypeError(
                f"keys is {keys!r}; it must be a pattern, as in 'prices.*', several of them, or None"
            )
        words = pattern.split(".")
        if any(("*" in word or "#" in word) and len(word) > 1 for word in words):
            raise ValueError(
                f"keys is {pattern!r}; '*' (one word) and '#' (any number of words) stand for whole words, "
                "as in 'prices.*' or 'prices.#'"
            )
    if not patterns:
        raise ValueError("keys has no pattern in it; None is for all events")
    return patterns


def checked_start(from_: str | int) -> tuple[int, int]:
    """Where a subscription starts, as the core takes it: the way, and the number of the event."""
    if isinstance(from_, str):
        if from_ in _FROM:
            return _FROM[from_], 0
    elif hasattr(from_, "__index__") and 0 <= int(from_) < 2**64:
        return _FROM_NUMBER, int(from_)
    raise ValueError(f"from_ is {from_!r}; it must be 'new', 'oldest' or the number of an event, 0 or more")


@public
class Subscription(SubscriptionChannel[T]):
    """What one process reads of a topic: every event after its start that fits its keys, in the topic's one order.

        with topic.subscribe("prices.*") as prices:
            for event in prices:
                ...

    Made by `Topic.subscribe`; iterating ends when the topic was shut down, or its last producer has left, and all its
    events were received: with `ProducerLost` if a producer had died inside `producing()`. It belongs to the process
    that made it, and may be used by all threads there: each event goes to one of them.

    A large array in an event lies where it was published, in memory that all share: it is read-only, and its bytes
    stay as long as it lives, also when the subscription is closed. When so many are kept that an event of an eighth of
    `max_bytes` would find no room between them, further ones are copied. (A larger event, the first of its size, may
    have to wait until arrays that were kept before it are let go.)
    """

    def __init__(
        self,
        topic: TopicChannel[T],
        keys: str | Sequence[str] | None = None,
        from_: str | int = "new",
        filter: Callable[[T], object] | None = None,  # noqa: A002
        when_slow: WhenSlow = "block",
    ) -> None:
        if when_slow not in MODES:
            raise ValueError(f"when_slow is {when_slow!r}; it must be 'block', 'drop_oldest' or 'fail'")
        if filter is not None and not callable(filter):
            raise TypeError(f"filter is {filter!r}; it must be a function of an event, or None")
        start, number = checked_start(from_)
        self._topic = topic
        patterns = checked_patterns(keys)
        try:
            super().__init__(topic, patterns, MODES[when_slow], start, number, filter)
        except BaseException:
            # A signal's handler may raise when we have just joined; the traceback would keep us.
            close_if_made(self)
            raise

    @property
    def seq(self) -> int:
        """The number of the next event that is read; `from_=` of a later subscription goes on there."""
        return super().seq

    @property
    def missed(self) -> int:
        """How many events, of any key, were lost because this was too slow, or asked for and not kept any more."""
        return super().missed

    @property
    def lag(self) -> int:
        """How many events were published and not read yet."""
        return super().lag

    def _was_closed(self) -> None:
        # Nobody waits for an event by a module that was never imported.
        if (events := sys.modules.get(f"{__package__}._aio_wait")) is not None:
            events.wake_for_event(self._topic)

    async def aget(self, timeout: float | None = None) -> T:
        """`get` for coroutines: others run while it waits. Cancelled, it has received nothing."""
        from ._aio_wait import deadline_after, wait_for_event

        deadline = deadline_after(timeout)
        while True:
            try:
                return self.get_nowait()
            except Empty:
                self._settle()
                if not await wait_for_event(self._topic, self._position, deadline, lambda: self.closed):
                    raise

    async def __aiter__(self) -> AsyncIterator[T]:
        """The events, until the topic was shut down and all were received.

        Raises:
            ProducerLost: at the end, and a producer had died inside `producing()`.
        """
        while True:
            try:
                event = await self.aget()
            except ShutDown:
                return
            yield event

    if TYPE_CHECKING:

        def __enter__(self) -> Self: ...
        def __exit__(
            self, type_: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
        ) -> None: ...

    else:
        __enter__ = enter_closing
        __exit__ = leave_closing

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a subscription belongs to the process that made it; pass the topic, and call subscribe() there"
        )

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"seq {self.seq}, lag {self.lag}, missed {self.missed}"
        return f"<Subscription: {state}>"

    def __copy__(self) -> Any:
        return self.__reduce__()

    __contains__ = None  # `event in subscription` would read events
