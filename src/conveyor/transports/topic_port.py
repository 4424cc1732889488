"""What a transport does for a topic: `TopicBackend`. `BrokerTopic` makes all methods of a topic out of it.

The rules of `port.Backend` hold here, too: opened, closed, repeated after `ConnectionLost`, asked to wait in slices.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Literal

from .port import Connection, Message

__all__ = ["Cursor", "Event", "TopicBackend"]

WhenSlow = Literal["block", "drop_oldest", "fail"]


class Event:
    """An event as a subscription reads it."""

    __slots__ = ("body", "content_type", "key", "seq")

    def __init__(self, body: bytes, content_type: str, key: str | None, seq: int) -> None:
        self.body = body
        self.content_type = content_type
        self.key = key
        self.seq = seq
        """Its number: later events have higher ones."""


class Cursor(ABC):
    """What one subscription reads; it belongs to the process that made it."""

    position: int
    """The number of the next event: where another subscription would go on, with `from_=position`."""
    missed: int = 0
    """Events that were overwritten before they were read."""
    ahead: int = 100
    """How many the base may read at a time, and keep until they are asked for: they count as read."""

    @abstractmethod
    def read(self, most: int, wait: float) -> list[Event]:
        """The events that are there, at most `most`; waits for so many seconds at most for the first. May return early.

        Events that fit none of the patterns may be among them if the broker cannot tell: the base drops them.

        Raises:
            Lagged: events were overwritten, and the subscription asked to fail then.
        """

    @abstractmethod
    def lag(self) -> int:
        """How many events were published and not read yet, those of other keys included."""

    @abstractmethod
    def resume(self) -> None:
        """Go on at `position`: the backend was opened again after its connection was lost."""

    @abstractmethod
    def close(self) -> None:
        """End it: it holds up nobody any more. Never raises."""


class TopicBackend(Connection):
    """One topic, through one connection of one process."""

    @abstractmethod
    def publish(self, messages: Sequence[Message], wait: float) -> int:
        """Publish events, in order, as far as subscribers that block leave room; wait for room for the first.

        Returns when the broker has them for good. May return early, also with 0.

        Returns:
            How many were published: always the first so many.

        Raises:
            Ended: see `Capabilities.sees_end`.
            ItemTooLarge: an event can never be published; none was.
        """

    @abstractmethod
    def subscribe(self, patterns: Sequence[str], from_: str | int, when_slow: WhenSlow) -> Cursor:
        """A new subscription.

        Args:
            patterns: of keys; none: all events.
            from_: "new", "oldest", or the number of an event.
            when_slow: what happens when it is so far behind that events would be overwritten.

        Raises:
            NotSupported: this broker has no such start, or no such way with the slow.
        """

    def destroy_groups(self, groups: Sequence[str]) -> None:
        """Remove what these groups have; see `Capabilities.lists_groups`. They may be gone."""

    def figures(self) -> Mapping[str, int]:
        """What the broker counts, over all processes: fields of `BrokerTopicStatistics`, those that it knows."""
        return {}
