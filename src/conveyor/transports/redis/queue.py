"""A queue on Redis."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import Any

from ...errors import ItemTooLarge
from ..port import Backend, Delivery, Depth, Ended, Message, Settings
from ..url import Url
from .connected import RedisConnection, delivery, packed
from .queue_scripts import CLEAR, DEPTH, EXTEND, FIGURES, PEEK, PURGE, SEND, SETTLE, TAKE

__all__ = ["RedisQueue"]

# One script holds up the server for all: so much at a time, and the base asks for the rest.
_MOST_SENT, _MOST_BYTES_SENT, _MOST_TAKEN, _MOST_SETTLED = 2000, 2**22, 10_000, 2000
_ENDED, _REMOVED = -1, -2
# The longest string that a server takes, by its default.
_LONGEST = 512 * 2**20 - 1024


class RedisQueue(RedisConnection, Backend):
    """A queue: each method is a script, done once also when it is called again."""

    def __init__(self, url: Url) -> None:
        super().__init__(url)
        self._max_items = 0
        self._max_bytes = 0

    # -- putting

    def send(self, messages: Sequence[Message], wait: float) -> int:
        most = self._max_bytes or _LONGEST
        largest = max(len(message.body) for message in messages)
        if largest > most:
            raise ItemTooLarge(
                f"the item takes {largest} bytes and can never fit: "
                + (
                    f"max_bytes is {most}; raise max_bytes or "
                    if self._max_bytes
                    else f"at most {most} can; "
                )
                + "send smaller items"
            )
        items: list[bytes] = []
        size = 0
        for message in messages[:_MOST_SENT]:
            items.append(packed(message))
            size += len(items[-1])
            if size > _MOST_BYTES_SENT:
                break
        call = f"{messages[0].id}+{len(items)}"
        until = monotonic() + wait
        while True:
            put: int = self._run(SEND, self._thread(), call, self._max_items, self._max_bytes, *items)
            if put > 0:
                return put
            if put == _ENDED:
                raise Ended
            if put == _REMOVED:
                raise self._removed()
            left = until - monotonic()
            if left <= 0:
                return 0
            self._wait_for("room", left)

    # -- taking

    def take(self, most: int, wait: float) -> list[Delivery]:
        mine = self._threads.__dict__
        # What an earlier call of this thread asked for, and got no answer to: it may be taken already.
        found: deque[Delivery] = mine.setdefault("found", deque())
        if not found:
            answer = self._ask(most, wait, "")
            found.extend(delivery(answer[i], answer[i + 1], None) for i in range(0, len(answer), 2))
        return [found.popleft() for _ in range(min(most, len(found)))]

    def lease(self, most: int, wait: float, seconds: float | None) -> list[Delivery]:
        milliseconds = int((self._keep_alive if seconds is None else seconds) * 1000)
        answer = self._ask(most, wait, str(max(milliseconds, 1)))
        return [delivery(answer[i + 1], answer[i + 2], answer[i]) for i in range(0, len(answer), 3)]

    def _ask(self, most: int, wait: float, milliseconds: str) -> list[bytes]:
        mine = self._threads.__dict__
        bounded = int(bool(self._max_items or self._max_bytes))
        until = monotonic() + wait
        thread = self._thread()
        while True:
            call = ""
            if not milliseconds:
                call = mine.get("taking") or os.urandom(8).hex()
                mine["taking"] = call
            answer: Any = self._run(
                TAKE, thread, call, min(most, _MOST_TAKEN), milliseconds, os.getpid(), bounded
            )
            if call:
                mine["taking"] = ""
            if isinstance(answer, list):
                return answer  # pyright: ignore[reportUnknownVariableType]
            if answer == _REMOVED:
                raise self._removed()
            left = until - monotonic()
            if left <= 0 or answer == _ENDED:
                return []
            self._wait_for("bell", min(left, answer / 1000))

    def peek(self, most: int) -> list[Delivery]:
        answer = self._run(PEEK, min(most, _MOST_TAKEN))
        return [delivery(answer[i], answer[i + 1], None) for i in range(0, len(answer), 2)]

    # -- settling

    def acknowledge(self, deliveries: Sequence[Delivery]) -> Sequence[Delivery]:
        return self._settle(deliveries, "acknowledge", 0.0, False, "")

    def release(
        self, deliveries: Sequence[Delivery], delay: float, counted: bool, error: str
    ) -> Sequence[Delivery]:
        return self._settle(deliveries, "release", delay, counted, error)

    def bury(self, deliveries: Sequence[Delivery], error: str, more: int) -> Sequence[Delivery]:
        return self._settle(deliveries, "bury", 0.0, bool(more), error)

    def dead(self, most: int, after: Any) -> list[Delivery]:
        start = b"-" if after is None else b"(" + after
        entries = self._call("XRANGE", f"{self._base}:dead", start, "+", "COUNT", min(most, _MOST_TAKEN))
        found: list[Delivery] = []
        for name, fields in entries:
            parts = dict(zip(fields[::2], fields[1::2], strict=True))
            # Entries of before 0.3 have no attempts.
            tries = b"%b:%b:%b" % (parts.get(b"attempts", b"1"), parts[b"pid"], parts[b"why"])
            found.append(delivery(parts[b"item"], tries, name))
        return found

    def forget(self, deliveries: Sequence[Delivery]) -> None:
        for start in range(0, len(deliveries), _MOST_SETTLED):
            some = deliveries[start : start + _MOST_SETTLED]
            self._call("XDEL", f"{self._base}:dead", *(each.tag for each in some))

    def _settle(
        self, deliveries: Sequence[Delivery], what: str, delay: float, counted: bool, error: str
    ) -> list[Delivery]:
        lost: list[Delivery] = []
        why = error.encode("utf-8", "replace")
        for start in range(0, len(deliveries), _MOST_SETTLED):
            some = deliveries[start : start + _MOST_SETTLED]
            # A lease is settled once, so that its name is one for the call as well; and each portion has its own
            # thread of calls, as one that is called again begins with the first.
            thread = f"{self._thread()}:{start}"
            call = f"{what}:{some[0].tag.decode()}+{len(some)}"
            milliseconds = int(min(delay, 1e9) * 1000 + 0.999)
            answer = self._run(
                SETTLE, thread, call, what, milliseconds, int(counted), why, *(each.tag for each in some)
            )
            lost += [some[place] for place in answer]
        return lost

    def extend(self, deliveries: Sequence[Delivery], seconds: float) -> Sequence[Delivery]:
        lost: list[Delivery] = []
        for start in range(0, len(deliveries), _MOST_SETTLED):
            some = deliveries[start : start + _MOST_SETTLED]
            answer = self._run(EXTEND, int(seconds * 1000), *(each.tag for each in some))
            lost += [some[place] for place in answer]
        return lost

    # -- state

    def depth(self) -> Depth:
        ready, leased, delayed, _ = self._run(DEPTH)
        return Depth(ready, leased, delayed)

    def is_full(self, settings: Settings) -> bool:
        ready, _, _, size = self._run(DEPTH)
        if settings.maxsize and ready >= settings.maxsize:
            return True
        return bool(settings.max_bytes and ready and int(size) >= settings.max_bytes)

    def clear(self) -> int:
        return int(self._run(CLEAR))

    def purge(self) -> None:
        self._run(PURGE)

    def figures(self) -> Mapping[str, int]:
        names = ("items_in", "items_out", "bytes_in", "bytes_out", "redelivered", "returned", "dead")
        return dict(zip(names, self._run(FIGURES), strict=True))
