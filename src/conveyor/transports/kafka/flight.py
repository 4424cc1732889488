"""Messages on their way to the broker."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from ..port import Message

__all__ = ["Flight", "Together"]


class Flight:
    """One message.

    Attributes:
        has_landed: whether it is at the broker, or will never be.
        error: why it did not arrive; None: it has, or it is on its way.
        place: its partition and offset.
        chain: of offsets that followed one another without a gap; see `Sender`.
    """

    __slots__ = ("_sender", "chain", "error", "has_landed", "place", "since")

    def __init__(self, sender: Any, since: float) -> None:
        self._sender = sender
        self.since = since
        self.has_landed = False
        self.error: Any = None
        self.place = (-1, -1)
        self.chain = -1

    def report(self, error: Any, message: Any) -> None:
        """The delivery report; see `Reports` for why it may come twice."""
        if error is None:
            self.place = place = message.partition(), message.offset()
            self.chain = self._sender.note(*place)
        else:
            self.error = error
        self.has_landed = True

    def fail(self, error: Any) -> None:
        """The client does not take it."""
        self.error = error
        self.has_landed = True


class Together:
    """Many messages for the one partition that there is: those that arrive have offsets in their order."""

    __slots__ = ("_arrived", "_failed", "_sender", "chains", "messages", "since")

    def __init__(self, sender: Any, messages: Sequence[Message], since: float) -> None:
        self._sender = sender
        self.messages = messages
        self.since = since
        self._arrived: dict[int, int] = {}  # the chain, by offset
        self._failed: dict[int, tuple[bytes, Any, Any]] = {}  # by whatever tells them apart
        self.chains: set[int] = set()

    @property
    def has_landed(self) -> bool:
        """Whether all have."""
        return len(self._arrived) + len(self._failed) == len(self.messages)

    @property
    def is_whole(self) -> bool:
        """Whether none of those that have landed has failed."""
        return not self._failed

    def report(self, error: Any, message: Any) -> None:
        """A delivery report; see `Reports` for why it may come twice."""
        if error is None:
            offset = message.offset()
            chain = self._sender.note(0, offset)
            self.chains.add(chain)
            self._arrived[offset] = chain
        else:
            self._failed[id(message)] = message.value(), error, message

    def refuse(self, place: int, error: Any) -> None:
        """The client does not take that one."""
        self._failed[-1 - place] = self.messages[place].body, error, None

    def apart(self) -> dict[str, Flight]:
        """Each by itself, once they have landed. Which of several equal ones has failed makes no difference."""
        errors = {body: error for body, error, _ in self._failed.values()}
        failed = Counter(body for body, _, _ in self._failed.values())
        arrived = iter(self._arrived.items())
        flights: dict[str, Flight] = {}
        for message in self.messages:
            flight = flights[message.id] = Flight(self._sender, self.since)
            flight.has_landed = True
            if failed[message.body]:
                failed[message.body] -= 1
                flight.error = errors[message.body]
            else:
                offset, flight.chain = next(arrived)
                flight.place = 0, offset
        return flights
