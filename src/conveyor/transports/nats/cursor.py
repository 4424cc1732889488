"""What one subscription reads of a topic on NATS."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from ...errors import Lagged
from ..answer import Answer
from ..port import ConnectionLost
from ..topic_port import Cursor, Event, WhenSlow
from .names import Names, filter_of, key_of
from .protocol import ApiError, NobodyThere
from .pulls import Order, Pulls, numbers
from .wire import Wire

__all__ = ["NatsCursor"]

_ANSWER_SECONDS = 5.0
# A consumer that nobody asks for so long is forgotten by the server, and made again when it is needed.
_IDLE_SECONDS = 300


class NatsCursor(Cursor):
    """A position in the stream, and a consumer of the server's that reads from there.

    Event number n is message n + 1 of the stream.

    Args:
        do: runs a coroutine on the connection.
        parts: the loop's thread and the connection, as they are now.
        is_at_end: whether nothing will be published any more.
        names: of the topic.
    """

    def __init__(
        self,
        do: Callable[..., Any],
        parts: Callable[[], tuple[Any, Any]],
        is_at_end: Callable[[], bool],
        names: Names,
        patterns: Sequence[str],
        from_: str | int,
        when_slow: WhenSlow,
    ) -> None:
        self._do = do
        self._parts = parts
        self._is_at_end = is_at_end
        self._names = names
        self._filter = filter_of(names.topic, patterns) if patterns else ""
        self._mode = "block" if when_slow == "block" else "free"
        self._fails = when_slow == "fail"
        self._subject = f"{names.readers}.{os.urandom(8).hex()}"
        self._closed = False
        self._consumer = ""
        self._pulls: Pulls | None = None
        self._came: deque[Event] = deque()
        self._received = 0
        self.position = 0

        async def begin(wire: Wire) -> None:
            await self._begin(wire, from_)

        do(begin)

    async def _begin(self, wire: Wire, from_: str | int) -> None:
        # Whatever is there now is held, until it is known where this begins.
        await wire.ask(self._subject, self._told())
        state = (await wire.api(f"STREAM.INFO.{self._names.stream}"))["state"]
        first, end = state["first_seq"] - 1, state["last_seq"]
        if from_ == "new":
            self.position = end
        elif from_ == "oldest":
            self.position = min(max(first, 0), end)
        else:
            self.position = min(int(from_), end)
            self.missed = max(min(first, end) - self.position, 0)
            self.position += self.missed
        await wire.ask(self._subject, self._told())
        await self._start(wire)

    async def _start(self, wire: Wire) -> None:
        """Have a consumer that begins at the position."""
        stream = self._names.stream
        config: dict[str, Any] = {
            "ack_policy": "none",
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": self.position + 1,
            "inactive_threshold": _IDLE_SECONDS * 10**9,
            "max_deliver": -1,
            "mem_storage": True,
            "num_replicas": 1,
        }
        if self._filter:
            config["filter_subject"] = self._filter
        made = await wire.api(f"CONSUMER.CREATE.{stream}", {"stream_name": stream, "config": config})
        self._consumer = made["name"]
        self._came = came = deque[Event]()
        self._received = 0

        def deposit(message: Any, _: float) -> None:
            _, number = numbers(message.reply)
            headers: dict[str, str] = message.headers or {}
            key = key_of(self._names.topic, message.subject)
            if came is self._came:
                self._received += 1
                came.append(Event(message.data, headers.get("Content-Type", ""), key, number - 1))

        self._pulls = Pulls(wire, stream, self._consumer, deposit)

    def _told(self) -> bytes:
        return json.dumps({"mode": self._mode, "position": self.position}).encode()

    async def tell(self, wire: Wire) -> None:
        """Tell the server how far it is, and that it lives."""
        if not self._closed:
            wire.say(self._subject, self._told())
            if self._mode == "block":
                wire.say(f"{self._names.bell}.room")

    def look_again(self) -> None:
        """Let who waits look what has changed; called in the loop."""
        if self._pulls is not None:
            self._pulls.look_again()

    # -- reading

    def read(self, most: int, wait: float) -> list[Event]:
        if not self._came:
            self._ask(most, 0.0 if self._is_at_end() else wait)
        events: list[Event] = []
        while self._came and len(events) < most:
            events.append(self._came.popleft())
        if not events:
            return events
        gap = events[0].seq - self.position
        lost = gap if gap > 0 and not self._filter else 0
        if gap > 0 and self._filter:  # are those events of other keys?
            state = self._do(self._state)
            lost = max(min(state["first_seq"] - 1, events[0].seq) - self.position, 0)
        if lost:
            self.missed += lost
            if self._fails:
                raise Lagged(self.missed)
        self.position = events[-1].seq + 1
        thread, wire = self._parts()
        if thread is not None and wire is not None:
            thread.post(lambda: self._tell_soon(wire))
        return events

    def _tell_soon(self, wire: Wire) -> None:
        async def tell() -> None:
            with contextlib.suppress(ConnectionLost):
                await self.tell(wire)

        self._telling = asyncio.get_running_loop().create_task(tell())

    def _ask(self, most: int, wait: float) -> None:
        """Let events come."""
        thread, _ = self._parts()
        pulls = self._pulls
        if thread is None or pulls is None:
            raise ConnectionLost("the connection is closed")

        answer: Answer[None] = Answer()
        try:
            pulls.start(Order(most, most, wait, answer), thread)
            answer.wait(wait + _ANSWER_SECONDS)
        except NobodyThere:
            if not self._came:
                self.resume()  # the server has forgotten it
        except ConnectionLost:
            if not self._came:
                raise

    async def _state(self, wire: Wire) -> Any:
        return (await wire.api(f"STREAM.INFO.{self._names.stream}"))["state"]

    # -- state

    def lag(self) -> int:
        async def behind(wire: Wire) -> int:
            behind: int
            if not self._filter:
                state = await self._state(wire)
                behind = state["last_seq"] - max(state["first_seq"] - 1, self.position)
                return max(behind, 0)
            last = await wire.message(self._names.stream, last_by_subj=self._filter)
            if last is None or last[0] <= self.position:
                return 0
            info = await wire.api(f"CONSUMER.INFO.{self._names.stream}.{self._consumer}")
            behind = info["num_pending"] + info["delivered"]["consumer_seq"] - self._received
            return max(behind + len(self._came), 1)

        try:
            count: int = self._do(behind)
        except FileNotFoundError:
            self.resume()  # the server has forgotten the consumer, if not the topic is gone
            count = self._do(behind)
        return count

    def resume(self) -> None:
        async def resume(wire: Wire) -> None:
            await wire.ask(self._subject, self._told())
            await self._start(wire)

        self._do(resume)

    def close(self) -> None:
        self._closed = True

        async def close(wire: Wire) -> None:
            await wire.api(f"STREAM.PURGE.{self._names.readers_stream}", {"filter": self._subject})
            wire.say(f"{self._names.bell}.room")
            await wire.api(f"CONSUMER.DELETE.{self._names.stream}.{self._consumer}")

        with contextlib.suppress(ConnectionLost, ApiError, OSError):
            self._do(close)
