"""Puts into a queue with a bound: exact, and in order, though nobody at the server counts what waits.

What waits is what was put and not delivered to anybody yet. It grows by puts alone, and each put says which it expects
to be the last before it: so a process that has counted once, and has been the only one to put since, knows that there
is room. A chain of the same kind keeps a batch in order: each names the one before it, and when one is refused, so are
those behind it.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Sequence
from time import monotonic
from typing import Any

from .names import Names
from .protocol import ApiError, checked
from .wire import Wire

__all__ = ["BoundedPuts", "chained", "waiting"]

_NEVER = str(2**60)


def waiting(consumer: Any, stream: Any) -> int:
    """How many messages nobody has had yet, by what both say of themselves."""
    state = stream["state"]
    had: int = max(consumer["delivered"]["stream_seq"], state["first_seq"] - 1)
    last: int = state["last_seq"]
    return max(last - had, 0)


async def chained(
    wire: Wire, messages: Sequence[tuple[str, bytes, dict[str, str]]], last: int
) -> tuple[int, bool]:
    """Publish messages behind the number `last`, if that is still the last one.

    Args:
        wire: the connection.
        messages: each as subject, body and headers.
        last: the number of the stream's last message.

    Returns:
        How many of the first are in; and whether their numbers are those behind `last`: else some were known already.
    """
    answers: list[asyncio.Future[bytes]] = []
    before = ""
    for place, (subject, body, headers) in enumerate(messages):
        expected = {**headers, "Nats-Expected-Last-Sequence": str(last + place)}
        if before:  # the number alone could be that of somebody else's, who came between
            expected["Nats-Expected-Last-Msg-Id"] = before
        before = headers["Nats-Msg-Id"]
        answers.append(wire.begin(subject, body, expected))
    count = 0
    dense = True
    failed: ApiError | None = None
    for place, answer in enumerate(answers):
        try:
            told = checked(await answer)
        except ApiError as error:
            failed = failed or error
            continue
        if failed is None:
            count += 1
            dense = dense and told["seq"] == last + place + 1
    if failed is not None and failed.code not in (ApiError.NOT_LAST, ApiError.NOT_BEHIND) and not count:
        raise failed
    return count, dense


class BoundedPuts:
    """The puts of one connection; for the loop's thread."""

    def __init__(self, wire: Wire, names: Names, most: int) -> None:
        self._wire = wire
        self._names = names
        self._most = most
        self._turn = asyncio.Lock()
        self._last = 0
        self._room = 0
        self._rung = asyncio.Event()
        self._may_have_ended = False

    def wake(self, ended: bool) -> None:
        """There may be room; or the queue may be at its end."""
        self._may_have_ended = self._may_have_ended or ended
        self._rung.set()

    async def put(self, messages: Sequence[tuple[bytes, dict[str, str]]], wait: float) -> int:
        """Put as many as there is room for; wait for room for the first."""
        until = monotonic() + wait
        pause = 0.0005
        while True:
            async with self._turn:
                if self._room <= 0:
                    self._rung.clear()
                    await self._count()
                full = self._room <= 0
                count = 0
                if not full:
                    some = [(self._names.put, *each) for each in messages[: self._room]]
                    count, dense = await chained(self._wire, some, self._last)
                    self._last += count
                    self._room = self._room - count if dense and count == len(some) else 0
            if count:
                return count
            if full and self._may_have_ended:
                # Nobody takes this, as it is behind a message that there will never be. But does somebody read it?
                with contextlib.suppress(ApiError):
                    checked(
                        await self._wire.ask(self._names.put, b"", {"Nats-Expected-Last-Sequence": _NEVER})
                    )
                self._may_have_ended = False
            left = until - monotonic()
            if left <= 0 and full:
                return 0
            if full:
                try:
                    await asyncio.wait_for(self._rung.wait(), left)
                except TimeoutError:
                    return 0
            else:  # somebody else has put: in another turn, or in another process
                await asyncio.sleep(pause * random.random())
                pause = min(2 * pause, 0.02)

    async def _count(self) -> None:
        names = self._names
        # The consumer first: that it goes on meanwhile makes more room, not less.
        consumer = await self._wire.api(f"CONSUMER.INFO.{names.stream}.{names.consumer}")
        stream = await self._wire.api(f"STREAM.INFO.{names.stream}")
        self._last = stream["state"]["last_seq"]
        self._room = self._most - waiting(consumer, stream)
