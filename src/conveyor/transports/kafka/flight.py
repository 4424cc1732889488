"""Messages on their way to the broker."""

from __future__ import annotations

import threading
from typing import Any

__all__ = ["Batch", "Flight"]


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
