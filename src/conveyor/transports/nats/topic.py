"""A topic on NATS."""

from __future__ import annotations

import asyncio
import contextlib
import json
import weakref
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import Any

from ...errors import ItemTooLarge, NotSupported
from ..port import ConnectionLost, Ended, Message, Settings
from ..topic_port import Cursor, TopicBackend, WhenSlow
from ..url import Url
from .bounded import chained
from .connected import HEADER_BYTES, NatsConnection
from .cursor import NatsCursor
from .names import GROUP, group_names, subject_of
from .protocol import ApiError, NobodyThere, checked
from .wire import Wire

__all__ = ["NatsTopic"]

_DEFAULT_BYTES = 64 * 2**20
_MOST_SENT, _MOST_BYTES_SENT = 1000, 2**22
_KNOWN_SECONDS = 120
# What an event takes at the server beside its body, about.
_EVENT_BYTES = 256
_SEALED = 10109


class NatsTopic(NatsConnection, TopicBackend):
    """A topic: a stream that refuses what has no room, and is trimmed by those who publish."""

    def __init__(self, url: Url) -> None:
        super().__init__(url)
        self._max_bytes = _DEFAULT_BYTES
        self._keep: int | None = None
        self._first_kept = 0
        self._cursors: weakref.WeakSet[NatsCursor] = weakref.WeakSet()
        self._rung_for_room = asyncio.Event()
        self._beating: asyncio.Task[None] | None = None

    # -- what there is

    def _check(self, record: bytes) -> None:
        settings = json.loads(record)["settings"]
        self._max_bytes = settings["max_bytes"] or _DEFAULT_BYTES

    async def _make(self, wire: Wire) -> None:
        names = self._names
        config = {
            "subjects": [f"{names.topic}.>"],
            "discard": "new",
            "max_bytes": self._max_bytes,
            "duplicate_window": _KNOWN_SECONDS * 10**9,
        }
        await self._make_stream(wire, names.stream, config)
        readers = {
            "subjects": [f"{names.readers}.*"],
            "max_msgs_per_subject": 1,
            # A subscription that has not said for so long how far it is, is dead.
            "max_age": int(self._keep_alive * 1e9),
        }
        await self._make_stream(wire, names.readers_stream, readers)

    def _at_end(self) -> Mapping[str, Any]:
        return {"sealed": True, "deny_delete": True, "deny_purge": True}

    async def _opened(self, wire: Wire) -> None:
        await super()._opened(wire)
        if wire.version < [2, 10]:
            raise NotSupported(
                f"{self._url}: topics need nats-server 2.10 or later, as earlier ones drop events for want of room "
                f"(this is {wire.info.get('version')})"
            )
        self._rung_for_room = asyncio.Event()
        self._beating = asyncio.get_running_loop().create_task(self._beat())

    def declare(self, settings: Settings) -> None:
        self._max_bytes = settings.max_bytes or _DEFAULT_BYTES
        self._keep = settings.keep
        super().declare(settings)

    def abandon(self) -> None:
        super().abandon()
        self._cursors = weakref.WeakSet()

    def _rung(self, message: Any) -> None:
        self._rung_for_room.set()
        if message.subject.endswith(".end"):
            for cursor in list(self._cursors):
                cursor.look_again()

    async def _beat(self) -> None:
        """A subscription that is slow to read is not a dead one."""
        while True:
            await asyncio.sleep(self._keep_alive / 3)
            wire = self._wire
            if wire is None or wire.lost is not None:
                return
            with contextlib.suppress(ConnectionLost):
                for cursor in list(self._cursors):
                    await cursor.tell(wire)

    # -- publishing

    def publish(self, messages: Sequence[Message], wait: float) -> int:
        wire = self._wire
        longest = min((2**20 if wire is None else wire.longest) - HEADER_BYTES, self._max_bytes // 4)
        largest = max(len(message.body) for message in messages)
        if largest > longest:
            raise ItemTooLarge(
                f"the event takes {largest} bytes and can never be published: at most {longest} can, by the server's "
                f"max_payload and a quarter of max_bytes ({self._max_bytes}); raise them or send smaller events"
            )
        some: list[tuple[str, bytes, dict[str, str]]] = []
        size = 0
        for message in messages[:_MOST_SENT]:
            some.append((subject_of(self._names.topic, message.key), message.body, self._headers(message)))
            size += len(message.body) + _EVENT_BYTES
            if size > min(_MOST_BYTES_SENT, self._max_bytes // 4):
                break

        async def publish(wire: Wire) -> int:
            until = monotonic() + wait
            while True:
                self._rung_for_room.clear()
                count = await self._publish_some(wire, some, size)
                if count:
                    return count
                if await self._make_room(wire, size):
                    continue
                left = until - monotonic()
                if left <= 0:
                    return 0
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._rung_for_room.wait(), left)

        try:
            return self._do(publish, wait)
        except ConnectionLost as error:
            if isinstance(error.__cause__, NobodyThere):
                raise self._after_nobody(error.__cause__) from error
            raise

    async def _publish_some(
        self, wire: Wire, events: Sequence[tuple[str, bytes, dict[str, str]]], size: int
    ) -> int:
        """Publish what there is room for; how many of the first are in."""
        try:
            if len(events) == 1:
                ((subject, body, headers),) = events
                seq: int = checked(await wire.begin(subject, body, headers))["seq"]
                count = 1
            else:
                state = (await wire.api(f"STREAM.INFO.{self._names.stream}"))["state"]
                if self._max_bytes - state["bytes"] > 8 * size:
                    count, seq = await self._publish_all(wire, events)
                else:  # one that is refused must stop those behind it
                    count, _ = await chained(wire, events, state["last_seq"])
                    seq = state["last_seq"] + count
        except ApiError as error:
            if error.code == _SEALED:
                raise Ended from error
            if error.code == ApiError.FULL:
                return 0
            raise
        if count and self._keep is not None and seq - self._first_kept > self._keep + self._keep // 8:
            await self._trim(wire, self._keep)
        return count

    async def _publish_all(
        self, wire: Wire, events: Sequence[tuple[str, bytes, dict[str, str]]]
    ) -> tuple[int, int]:
        answers = [wire.begin(*event) for event in events]
        count = seq = 0
        for answer in answers:
            try:
                seq = checked(await answer)["seq"]
            except ApiError:
                if not count:
                    raise
                break
            count += 1
        return count, seq

    # -- room

    async def _readers(self, wire: Wire) -> list[tuple[str, int]]:
        """How each subscription takes it to be slow, and the number of the event that it reads next."""
        found: list[tuple[str, int]] = []
        seq = 0
        subject = f"{self._names.readers}.*"
        while True:
            message = await wire.message(self._names.readers_stream, seq=seq + 1, next_by_subj=subject)
            if message is None:
                return found + await self._groups(wire)
            seq = message[0]
            reader = json.loads(message[2])
            found.append((reader["mode"], reader["position"]))

    async def _groups(self, wire: Wire) -> list[tuple[str, int]]:
        """The same of the groups, which are waited for."""
        found: list[tuple[str, int]] = []
        seen = 0
        while True:
            answer = await wire.api(f"CONSUMER.LIST.{self._names.stream}", {"offset": seen})
            consumers: list[Any] = answer["consumers"] or []
            for consumer in consumers:
                if consumer["name"].startswith(GROUP):
                    found.append(("block", consumer["ack_floor"]["stream_seq"]))
            seen += len(consumers)
            if not consumers or seen >= answer["total"]:
                return found

    async def _make_room(self, wire: Wire, size: int) -> bool:
        """Drop the oldest events, as far as nobody holds them; whether there were any."""
        readers = await self._readers(wire)
        state = (await wire.api(f"STREAM.INFO.{self._names.stream}"))["state"]
        if not state["messages"]:
            return False
        average = state["bytes"] / state["messages"]
        first: int = state["first_seq"]
        # An eighth at a time, so that a caller that publishes one by one seldom asks.
        before = first + 1 + int(max(size, self._max_bytes / 8) / average)
        for mode, position in readers:
            if mode == "block":
                before = min(before, position + 1)
        return await self._drop(wire, first, min(before, state["last_seq"] + 1))

    async def _trim(self, wire: Wire, keep: int) -> None:
        """Drop the events that all have read, but so many."""
        readers = await self._readers(wire)
        state = (await wire.api(f"STREAM.INFO.{self._names.stream}"))["state"]
        before = state["last_seq"] + 1 - keep
        for _, position in readers:
            before = min(before, position + 1)
        await self._drop(wire, state["first_seq"], before)

    async def _drop(self, wire: Wire, first: int, before: int) -> bool:
        """Drop the events that have a lower number at the server."""
        if before <= first:
            self._first_kept = first - 1
            return False
        await wire.api(f"STREAM.PURGE.{self._names.stream}", {"seq": before})
        self._first_kept = before - 1
        return True

    # -- reading

    def destroy_groups(self, groups: Sequence[str]) -> None:
        # What else they have goes with the topic's stream.
        async def destroy(wire: Wire) -> None:
            for group in groups:
                await self._delete_stream(wire, group_names(self._url.name, group).dead_stream)

        self._do(destroy)

    def subscribe(self, patterns: Sequence[str], from_: str | int, when_slow: WhenSlow) -> Cursor:
        def parts() -> tuple[Any, Any]:
            return self._thread, self._wire

        cursor = NatsCursor(self._do, parts, lambda: self._is_at_end, self._names, patterns, from_, when_slow)
        self._cursors.add(cursor)
        return cursor

    def figures(self) -> Mapping[str, int]:
        async def look(wire: Wire) -> Mapping[str, int]:
            state = (await wire.api(f"STREAM.INFO.{self._names.stream}"))["state"]
            readers = (await wire.api(f"STREAM.INFO.{self._names.readers_stream}"))["state"]
            return {
                "published": state["last_seq"],
                "kept": state["messages"],
                "bytes_kept": state["bytes"],
                "subscriptions": readers.get("num_subjects", 0),
            }

        return self._do(look)
