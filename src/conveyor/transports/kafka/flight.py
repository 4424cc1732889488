"""Messages on their way to the broker."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from typing import Any

from ..port import Message

__all__ = ["Batch", "Flight", "Together"]


class Batch:
    """Messages that somebody waits for together.

    Attributes:
        landed: set when all of them are at the broker, or will never be.
    """

    __slots__ = ("_left", "_lock", "landed")

    def __init__(self, count: int) -> None:
        self._left = count
        self._lock = threading.Lock()
        self.landed = threading.Event()

    def one_landed(self) -> None:
        """One more of them."""
        with self._lock:
            self._left -= 1
            left = self._left
        if not left:
            self.landed.set()


class Flight:
    """One message.

    Attributes:
        error: why it did not arrive; None: it has, or it is on its way.
        place: its partition and offset.
        chain: of offsets that followed one another without a gap; see `Sender`.
    """

    __slots__ = ("_sender", "batch", "chain", "error", "has_landed", "place", "since")

    def __init__(self, sender: Any, batch: Batch, since: float) -> None:
        self._sender = sender
        self.batch = batch
        self.since = since
        self.has_landed = False
        self.error: Any = None
        self.place = (-1, -1)
        self.chain = -1

    def report(self, error: Any, message: Any) -> None:
        """The delivery report; called in the thread of the client."""
        if error is None:
            self.place = place = message.partition(), message.offset()
            self.chain = self._sender.note(*place)
        else:
            self.error = error
        self.has_landed = True
        self.batch.one_landed()

    def fail(self, error: Any) -> None:
        """The client does not take it."""
        self.error = error
        self.has_landed = True
        self.batch.one_landed()


class Together(Batch):
    """Many messages for the one partition that there is: those that arrive have offsets in their order."""

    __slots__ = ("_arrived", "_failed", "_sender", "chains", "messages", "since")

    def __init__(self, sender: Any, messages: Sequence[Message], since: float) -> None:
        super().__init__(len(messages))
        self._sender = sender
        self.messages = messages
        self.since = since
        self._arrived: list[tuple[int, int]] = []
        self._failed: list[tuple[bytes, Any]] = []
        self.chains: set[int] = set()

    @property
    def has_landed(self) -> bool:
        """Whether all have."""
        return self.landed.is_set()

    @property
    def is_whole(self) -> bool:
        """Whether none of those that have landed has failed."""
        return not self._failed

    def report(self, error: Any, message: Any) -> None:
        """A delivery report; called in the thread of the client."""
        if error is None:
            offset = message.offset()
            chain = self._sender.note(0, offset)
            self.chains.add(chain)
            self._arrived.append((offset, chain))
        else:
            self._failed.append((message.value(), error))
        self.one_landed()

    def refuse(self, body: bytes, error: Any) -> None:
        """The client does not take one."""
        self._failed.append((body, error))
        self.one_landed()

    def apart(self) -> dict[str, Flight]:
        """Each by itself, once they have landed. Which of several equal ones has failed makes no difference."""
        errors = dict(self._failed)
        failed = Counter(body for body, _ in self._failed)
        arrived = iter(self._arrived)
        flights: dict[str, Flight] = {}
        for message in self.messages:
            flight = flights[message.id] = Flight(self._sender, self, self.since)
            flight.has_landed = True
            if failed[message.body]:
                failed[message.body] -= 1
                flight.error = errors[message.body]
            else:
                offset, flight.chain = next(arrived)
                flight.place = 0, offset
        return flights
