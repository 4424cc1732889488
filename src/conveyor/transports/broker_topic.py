"""BrokerTopic: all methods of a topic, on what a transport's `TopicBackend` does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import islice
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

from ..errors import Empty, Full
from ..queues._options import checked_lease
from .broker_statistics import BrokerTopicStatistics
from .broker_subscription import BrokerSubscription
from .group_queue import GroupQueue
from .handle import Options
from .key_patterns import checked_key
from .link import NEVER, deadline_after, left_until
from .port import Message
from .registry import row_of, url_of
from .sending import Sending
from .topic_port import Cursor, TopicBackend, WhenSlow
from .url import NAME_RULE, is_name, with_options

__all__ = ["BrokerTopic"]

T = TypeVar("T")

_PORTION = 1000
_LONGEST_WAIT = 0.5


class BrokerTopic(Sending[TopicBackend], Generic[T]):
    """A topic on a broker: the methods of `conveyor.Topic`, with the same meaning.

    Made by `conveyor.connect(url, kind="topic")`. What each transport promises stands in docs/transports.md.
    """

    _what = "topic"
    _counted = "events_published"

    def _start(self) -> None:
        super()._start()
        # Of subscriptions that were collected without having been closed: the next call closes them.
        self._forgotten: SimpleQueue[Cursor] = SimpleQueue()

    def _push(self, backend: TopicBackend, messages: Sequence[Message], wait: float) -> int:
        if not self._forgotten.empty():
            self._close_forgotten()
        # A subscription that is collected while this waits for room is what it may be waiting for.
        return backend.publish(messages, min(wait, _LONGEST_WAIT))

    def _close_forgotten(self) -> None:
        while True:
            try:
                self._forgotten.get_nowait().close()
            except Empty:
                return

    # -- publishing

    def publish(self, event: T, key: str | None = None, timeout: float | None = None) -> None:
        """Publish an event to all subscribers; the broker has it for good when this returns.

        Args:
            event: what the codec takes; it is encoded here, in the caller.
            key: words with dots between, as in "prices.eur", by which subscribers choose; at most 255 bytes.
            timeout: seconds to wait at most, for room and for the broker; None: for ever.

        Raises:
            queue.Full: no room, within the time; nothing was published.
            ShutDown: the topic was shut down or has ended by itself, before or while this waited.
            ItemTooLarge: it can never be published.
            TypeError, ValueError: `key` is no key, or the codec cannot take the event.
            BrokerUnreachable: the broker could not be reached in time.
        """
        deadline = NEVER if timeout is None else deadline_after(timeout)
        self._send((self._message(event, checked_key(key)),), deadline)

    def publish_many(self, events: Iterable[T], key: str | None = None, timeout: float | None = None) -> None:
        """Publish events in order, all with this key, in portions: quicker than one by one.

        Args:
            events: any iterable; it may be long, as it is published while it is iterated over.
            key, timeout: as for `publish`; the time counts for the whole call.

        Raises:
            Exception: as for `publish`, or what the iterable raises. The exception's `events_published` says how
                many events are out.
        """
        deadline = deadline_after(timeout)
        key = checked_key(key)
        source = iter(events)
        published = 0
        try:
            while portion := [self._message(event, key) for event in islice(source, _PORTION)]:
                self._send(portion, deadline)
                published += len(portion)
        except Exception as error:
            error.events_published = published + getattr(error, "events_published", 0)  # type: ignore[attr-defined]
            raise

    async def apublish(self, event: T, key: str | None = None, timeout: float | None = None) -> None:
        """`publish` for coroutines: others run while it is on its way. Cancelled, it has published nothing.

        If the broker has the event already when it is cancelled, it returns, and the task is cancelled where it
        waits next.
        """
        await self._asend([self._message(event, checked_key(key))], deadline_after(timeout))

    async def apublish_many(
        self, events: Iterable[T], key: str | None = None, timeout: float | None = None
    ) -> None:
        """`publish_many` for coroutines, in portions: cancelled, some of the events may be out."""
        deadline = deadline_after(timeout)
        key = checked_key(key)
        source = iter(events)
        published = 0
        try:
            while portion := [self._message(event, key) for event in islice(source, _PORTION)]:
                await self._asend(portion, deadline)
                published += len(portion)
                if left_until(deadline, 1.0) <= 0:
                    raise Full
        except Exception as error:
            error.events_published = published + getattr(error, "events_published", 0)  # type: ignore[attr-defined]
            raise

    # -- subscribing

    def subscribe(
        self,
        keys: str | Sequence[str] | None = None,
        from_: str | int = "new",
        filter: Callable[[T], object] | None = None,  # noqa: A002
        when_slow: WhenSlow = "block",
    ) -> BrokerSubscription[T]:
        """Subscribe, from now on; the subscription is a context manager and an iterator. As `conveyor.Topic.subscribe`.

        Raises:
            ValueError, TypeError: an argument is not as there.
            NotSupported: this broker keeps no events for such a `from_`, or cannot do that with the slow.
        """
        self._close_forgotten()
        return BrokerSubscription(self, self._forgotten, keys, from_, filter, when_slow)

    def group(
        self,
        name: str,
        *,
        lease_seconds: float | None = None,
        max_attempts: int | None = None,
        dead_letters: Any = None,
    ) -> GroupQueue[T]:
        """The events as a queue that a group of consumers shares, on as many machines: each goes to one of them.

        The group has what is published from now on, or since it was first asked for; also while none of it is there.

        Args:
            name: of the group: 1 to 200 bytes in UTF-8, all printable.
            lease_seconds, max_attempts, dead_letters: as for `conveyor.connect`.

        Raises:
            ValueError: an argument is not as there.
            NotSupported: this transport has no groups.
        """
        if not is_name(name):
            raise ValueError(f"name is {name!r:.60}; it must be the name of a group, with {NAME_RULE}")
        options = self._options
        where = url_of(with_options(options.url.text, kind="group", group=name))
        attempts, seconds = checked_lease(lease_seconds, max_attempts)
        settings = replace(options.settings, max_attempts=attempts, lease_seconds=seconds)
        make = row_of(where.scheme).load(where.scheme).group
        return GroupQueue(Options(where, make, None, settings, options.payload, dead_letters))

    # -- state and end

    def shutdown(self) -> None:
        """Say that nothing more will be published, by anybody on any machine; it cannot be undone.

        As `conveyor.Topic.shutdown`.
        """
        self._control.shutdown(False)

    def statistics(self) -> BrokerTopicStatistics:
        """A snapshot: what the broker counts over all processes, and None for what it does not."""
        self._close_forgotten()
        figures: Any = self._call(lambda backend: backend.figures())
        return BrokerTopicStatistics(
            transport=self._options.url.scheme, reconnects=self._link.generation - 1, **figures
        )

    def close(self) -> None:
        """Disconnect this handle: it publishes no more, and its subscriptions end. Idempotent."""
        if not self._is_closed:
            self._is_closed = True
            if self._putter is not None:
                self._putter.stop()
            self._disconnect()
