"""Putting and publishing: what goes to a broker, from the caller or from coroutines."""

from __future__ import annotations

import itertools
import os
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from ..errors import BrokerUnreachable, Full, ItemTooLarge, ShutDown
from .handle import Handle, Options
from .keeper import Beater
from .link import NEVER, Healing, left_until
from .payload import encoded
from .port import Capabilities, Connection, ConnectionLost, Ended, Message
from .putter import Putter

__all__ = ["Sending"]

C = TypeVar("C", bound=Connection)


class Sending(Handle[C]):
    """A handle that sends messages."""

    _counted = "items_put"
    """The attribute of an exception that says how many messages are in."""

    def _attach(self, options: Options) -> None:
        self._capabilities: Capabilities = options.make(options.url).capabilities
        self._slice = self._capabilities.slice_seconds
        self._asks_end = not self._capabilities.sees_end
        super()._attach(options)

    def _start(self) -> None:
        super()._start()
        self._ids = f"{os.urandom(8).hex()}-"  # with a number behind, the id of a message
        self._numbers = itertools.count()
        self._beater: Beater | None = None
        self._putter: Putter | None = None

    @abstractmethod
    def _push(self, backend: C, messages: Sequence[Message], wait: float) -> int:
        """`Backend.send` or `TopicBackend.publish`."""

    def _message(self, item: Any, key: str | None = None) -> Message:
        body, content_type = encoded(self._payload, item)
        return Message(body, content_type, f"{self._ids}{next(self._numbers):x}", key)

    def _messages(self, items: Iterable[Any]) -> list[Message]:
        """`_message` of each, faster."""
        items = list(items)
        encode, kind = self._payload.encode, self._payload.content_type
        try:
            bodies = [encode(item) for item in items]
        except TypeError:
            return [self._message(item) for item in items]
        return [
            Message(body, kind, f"{self._ids}{number:x}")
            for body, number in zip(bodies, self._numbers, strict=False)
        ]

    def _send(self, messages: Sequence[Message], deadline: float, room_by: float = NEVER) -> None:
        """Send them all.

        Args:
            messages: at least one.
            deadline: of the call, for reconnecting as well.
            room_by: when to wait for room no longer, if that is before.

        Raises:
            Full: there was no room in time. And what `put` raises; each says how many were sent.
        """
        if room_by > deadline:
            room_by = deadline
        link = self._link
        put = 0
        healing: Healing | None = None
        try:
            while True:
                backend = link.backend or link.open(deadline)
                generation = link.generation
                wait = self._slice if room_by == NEVER else left_until(room_by, self._slice)
                try:
                    if self._asks_end and self._control.is_ended(backend):
                        raise self._no_more()
                    count = self._push(backend, messages, wait)
                except ConnectionLost as error:
                    healing = healing or link.healing(deadline)
                    healing.after(generation, error)
                    continue
                except Ended:
                    self._call(self._control.read)
                    raise self._no_more() from None
                self._control.items += count
                if count == len(messages):
                    return
                put += count
                messages = messages[count:]
                if not count and left_until(room_by, 1.0) <= 0:
                    raise Full
        except (Full, ShutDown, BrokerUnreachable, ItemTooLarge, OSError) as error:
            setattr(error, self._counted, put)
            raise

    def _no_more(self) -> ShutDown:
        return ShutDown(f"the {self._what} was shut down")

    def _enter_producing(self, counts: bool) -> None:
        super()._enter_producing(counts)
        # Also where the transport sees who lives: they tell how many items were put.
        if not self._capabilities.process_only:
            if self._beater is None:
                self._beater = Beater(self)
            self._beater.start()

    # -- for coroutines

    def _make_putter(self) -> Putter:
        self._putter = putter = self._putter or Putter(self)
        return putter

    async def _asend(self, messages: list[Message], deadline: float) -> None:
        putter = self._putter or self._make_putter()
        await putter.put(messages, deadline)
