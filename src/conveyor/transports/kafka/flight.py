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

    def report(self, reports: Sequence[tuple[Any, Any]]) -> None:
        """The delivery report: error and message; see `Reports` for why it may come twice."""
        error, message = reports[0]
        if error is None:
            self.place = partition, offset = message.partition(), message.offset()
            self.chain = self._sender.note(partition, offset, offset + 1)
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

    def report(self, reports: Sequence[tuple[Any, Any]]) -> None:
        """Some delivery reports, in their order; see `Reports` for why they may come twice."""
        offsets = [message.offset() for error, message in reports if error is None]
        if offsets:
            first, behind = offsets[0], offsets[-1] + 1
            if behind - first == len(offsets):
                self._note(first, behind)
            else:
                for offset in offsets:
                    self._note(offset, offset + 1)
        if len(offsets) < len(reports):
            for error, message in reports:
                if error is not None:
                    self._failed[id(message)] = message.value(), error, message

    def _note(self, first: int, behind: int) -> None:
        chain = self._sender.note(0, first, behind)
        self.chains.add(chain)
        for offset in range(first, behind):
            self._arrived[offset] = chain

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
