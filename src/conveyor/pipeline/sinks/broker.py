"""BrokerSink: puts values into a queue or a topic on a broker, while the run goes on."""

from __future__ import annotations

import threading
from collections import deque
from itertools import islice
from time import monotonic
from typing import Any

from ...errors import Full
from .sink import PlainSink

__all__ = ["BrokerSink"]

# So much may be on its way; then the pipeline is held up.
_MOST, _MOST_BYTES = 4096, 2**25
_AT_ONCE = 1000
# A full queue is asked again so often whether it has room, and whether this is wanted any more.
_SLICE_SECONDS = 0.1
# So long a run that was cut short waits for the answer to what is on its way.
_LEAVE_SECONDS = 1.0


class BrokerSink(PlainSink):
    """Puts values into a queue, or publishes them, in a thread of its own: one answer takes as long as many items.

    Values are encoded as they are taken, so that whoever has them next may change them.

    Args:
        target: a handle that `conveyor.connect` made; a full one holds up the pipeline.
    """

    def __init__(self, target: Any) -> None:
        self._target = target
        self._changed = threading.Condition()
        self._waiting: deque[Any] = deque()  # messages that are not known to be there, in order
        self._bytes = 0
        self._taken = self._out = 0
        self._error: BaseException | None = None
        self._closed = False
        self._until: float | None = None  # when what is on its way is waited for no longer
        self._thread: threading.Thread | None = None

    @property
    def pending(self) -> int:
        """Values that were taken, and are not known to be there."""
        return self._taken - self._out

    def take(self, values: list[Any]) -> int:
        """Take what there is room for.

        Raises:
            Exception: what `put_many` raises, of these values or of earlier ones.
        """
        if self._error is not None:
            raise self._error
        room = _MOST - self.pending
        if room <= 0 or self._bytes >= _MOST_BYTES or not values:
            return 0
        messages = self._target._messages(values[:room])
        with self._changed:
            self._waiting += messages
            self._bytes += sum(len(message.body) for message in messages)
            self._taken += len(messages)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="conveyor sink", daemon=True)
                self._thread.start()
            self._changed.notify_all()
        return len(messages)

    def _run(self) -> None:
        while self._error is None:
            with self._changed:
                while not self._waiting and not self._closed:
                    self._changed.wait()
                if self._closed:
                    return
                some = list(islice(self._waiting, _AT_ONCE))
            self._send(some)

    def _send(self, messages: list[Any]) -> None:
        error: BaseException | None = None
        put = len(messages)
        try:
            self._target._send(messages, float("inf"), monotonic() + _SLICE_SECONDS)
        except BaseException as raised:
            put = int(getattr(raised, self._target._counted, 0))
            error = None if isinstance(raised, Full) else raised
        with self._changed:
            for _ in range(put):
                self._bytes -= len(self._waiting.popleft().body)
            self._out += put
            self._error = error
            self._changed.notify_all()

    def confirm(self) -> None:
        """Wait until what was taken before is there; in any thread.

        Raises:
            Exception: what `put_many` raised.
            TimeoutError: it is waited for no longer, as `hurry` was called.
        """
        with self._changed:
            wanted = self._taken
            while self._out < wanted:
                if self._error is not None:
                    raise self._error
                left = self._left()
                if self._closed or (left is not None and left <= 0):
                    raise TimeoutError(
                        "the run was cut short, and it is not known whether all of its results arrived"
                    )
                self._changed.wait(left)

    def hurry(self) -> None:
        """Wait a moment at most for what is on its way."""
        with self._changed:
            self._until = self._until or monotonic() + _LEAVE_SECONDS
            self._changed.notify_all()

    def _left(self) -> float | None:
        return None if self._until is None else max(self._until - monotonic(), 0.0)

    def close(self) -> None:
        """Put nothing more; what is on its way may still arrive."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(_LEAVE_SECONDS)

    def tell_end(self) -> None:
        """Shut the queue down; a topic is not this run's to end."""
        if hasattr(self._target, "put"):
            self._target.shutdown()
