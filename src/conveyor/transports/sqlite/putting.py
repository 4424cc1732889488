"""Putting items into the file."""

# pyright: reportPrivateUsage=false
# Event counts and locks of the core have methods for the package's own use.
from __future__ import annotations

from collections.abc import Sequence
from time import monotonic

from ...errors import ItemTooLarge
from ..port import Ended, Message
from .coordination import BYTES, BYTES_IN, ENDED, ITEMS_IN, NEXT, READY, REMOVED, Coordination
from .section import Section
from .store import LOG_BYTES

__all__ = ["Putting"]

# Copying the log takes ten milliseconds and more, which who takes items bears better: who puts does it if nobody has.
_LOG_BYTES = 2 * LOG_BYTES


class Putting(Section):
    """The part of the backend that puts."""

    def send(self, messages: Sequence[Message], wait: float) -> int:
        if self._max_bytes:
            largest = max(len(message.body) for message in messages)
            if largest > self._max_bytes:
                raise ItemTooLarge(
                    f"the item takes {largest} bytes and can never fit: max_bytes is {self._max_bytes}; "
                    "raise max_bytes or send smaller items"
                )
        until = -1.0
        while True:
            put, commit = self._section(lambda at: self._put(at, messages))
            if put:
                self._at.items._notify()
                self._store.make_durable(commit, _LOG_BYTES)
                return put
            if until < 0:
                until = monotonic() + wait
            if not self._sleep(self._at.room, self._has_room, messages[0], until):
                return 0

    def _has_room(self, at: Coordination, message: Message) -> bool:
        words = at.words
        if words[ENDED] or words[REMOVED]:
            return True
        ready = words[READY]
        if self._max_items and ready >= self._max_items:
            return False
        return not (self._max_bytes and ready and words[BYTES] + len(message.body) > self._max_bytes)

    def _put(self, at: Coordination, messages: Sequence[Message]) -> tuple[int, int]:
        words, store = at.words, self._store
        if words[ENDED]:
            raise Ended
        number = words[NEXT]
        if len(messages) == 1:
            message = messages[0]
            size = len(message.body)
            if (self._max_items or self._max_bytes) and not self._has_room(at, message):
                return 0, 0
            kind = self._types.get(message.content_type) or self._type_of(message.content_type)
            store.write(store.statements.put, (number, message.body, kind))
            put = 1
        else:
            fitting = self._fitting(at, messages)
            put = len(fitting)
            if not put:
                return 0, 0
            size = sum(len(message.body) for message in fitting)
            rows = [
                (
                    number + n,
                    message.body,
                    self._types.get(message.content_type) or self._type_of(message.content_type),
                )
                for n, message in enumerate(fitting)
            ]
            with store.transaction() as connection:
                connection.executemany(store.statements.put, rows)
        words[NEXT] = number + put
        words[READY] += put
        words[BYTES] += size
        words[ITEMS_IN] += put
        words[BYTES_IN] += size
        return put, store.committed(size)

    def _fitting(self, at: Coordination, messages: Sequence[Message]) -> Sequence[Message]:
        """As many of the first as there is room for."""
        ready, size = at.words[READY], at.words[BYTES]
        if self._max_items:
            messages = messages[: max(self._max_items - ready, 0)]
        if self._max_bytes:
            for n, message in enumerate(messages):
                if (ready or n) and size + len(message.body) > self._max_bytes:
                    return messages[:n]
                size += len(message.body)
        return messages
