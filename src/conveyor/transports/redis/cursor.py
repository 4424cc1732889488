"""What one subscription reads of a topic on Redis."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from typing import Any

from ...errors import Lagged
from ..port import ConnectionLost
from ..topic_port import Cursor, Event, WhenSlow
from .connected import unpacked
from .topic_scripts import CLOSE, LAG, SUBSCRIBE, TOUCH

__all__ = ["RedisCursor"]


class RedisCursor(Cursor):
    """A position in the stream, which the server knows as well: publishers wait for it, if it blocks.

    Args:
        run: runs a script on the topic.
        call: any other command.
        base: what the keys of the topic begin with.
        keep_alive: seconds after which it is forgotten if nobody touches it.
    """

    def __init__(
        self,
        run: Callable[..., Any],
        call: Callable[..., Any],
        base: str,
        keep_alive: float,
        from_: str | int,
        when_slow: WhenSlow,
    ) -> None:
        self._run = run
        self._call = call
        self._log = f"{base}:log"
        self._id = os.urandom(8).hex()
        self._mode = "block" if when_slow == "block" else "free"
        self._fails = when_slow == "fail"
        self._milliseconds = int(keep_alive * 1000)
        self._is_closed = False
        found = run(SUBSCRIBE, self._id, self._mode, from_, self._milliseconds)
        if not isinstance(found, list):
            raise FileNotFoundError(f"the topic {base} was removed")
        self.position, self.missed = found

    def touch(self) -> None:
        """Tell the server how far it is, and that it lives."""
        if not self._is_closed:
            self._run(TOUCH, self._id, self._mode, self.position, self._milliseconds)

    def read(self, most: int, wait: float) -> list[Event]:
        # Event number n has the id (n + 1)-0: what comes after n-0.
        answer = self._call(
            "XREAD",
            "COUNT",
            most,
            *(("BLOCK", max(int(wait * 1000), 1)) if wait > 0 else ()),
            "STREAMS",
            self._log,
            f"{self.position}-0",
        )
        if not answer:
            return []
        events: list[Event] = []
        for name, fields in answer[0][1]:
            number = int(name.partition(b"-")[0]) - 1
            body, kind = unpacked(fields[1])
            key = fields[3].decode("utf-8", "surrogatepass") if len(fields) > 2 else None
            events.append(Event(body, kind, key, number))
        before = self.position, self.missed
        gone = events[0].seq - self.position
        if gone > 0:
            self.missed += gone
            if self._fails:
                raise Lagged(self.missed)
        self.position = events[-1].seq + 1
        try:
            self.touch()
        except ConnectionLost:
            self.position, self.missed = before  # they are read once more
            raise
        return events

    def lag(self) -> int:
        behind: int = self._run(LAG, self.position)
        return behind

    def resume(self) -> None:
        self.touch()

    def close(self) -> None:
        self._is_closed = True
        with contextlib.suppress(ConnectionLost, OSError):
            self._run(CLOSE, self._id)
