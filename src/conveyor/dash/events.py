"""Events: a stream of server-sent events for each page that is open."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qs

from .feed import VIEWS, Feed

__all__ = ["Events"]

_MOST = 32  # streams at once
_PATIENCE = 20.0  # seconds in which a client must take a frame

_Message = MutableMapping[str, Any]


class Events:
    """An ASGI application: `GET /events?view=queues`, a frame for each look.

    What a client has not read is not kept but replaced by what comes next; who reads nothing for a while is dropped.

    Args:
        feed: what they are told.
    """

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._open = 0

    async def __call__(
        self,
        scope: _Message,
        receive: Callable[[], Awaitable[_Message]],
        send: Callable[[_Message], Awaitable[None]],
    ) -> None:
        """Serve one client until it leaves, or the feed ends."""
        asked = parse_qs(scope["query_string"].decode("latin-1"))
        view, id_ = asked.get("view", ["overview"])[0], asked.get("id", [""])[0]
        if view not in VIEWS:
            await _refuse(send, 404, f"there is no view {view[:40]!r}; there are {', '.join(VIEWS)}")
            return
        if self._open >= _MOST:
            await _refuse(send, 503, f"{_MOST} pages are open already")
            return
        self._open += 1
        try:
            await send(
                {
                    "type": "http.response.start",
                    "status": 200,
                    "headers": [
                        (b"content-type", b"text/event-stream; charset=utf-8"),
                        (b"cache-control", b"no-store"),
                    ],
                }
            )
            leaving = asyncio.ensure_future(_left(receive))
            try:
                await self._stream(view, id_, send, leaving)
            finally:
                leaving.cancel()
        except (OSError, TimeoutError):
            pass  # it is gone, or as good as that
        finally:
            self._open -= 1

    async def _stream(
        self, view: str, id_: str, send: Callable[[_Message], Awaitable[None]], leaving: asyncio.Future[None]
    ) -> None:
        version, since = 0, 0.0
        while not self._feed.is_stopped and not leaving.done():
            now = self._feed.seen_at
            frame = self._feed.frame(view, id_, since) if version or self._feed.version else None
            name, data = (view, frame) if frame is not None else ("gone", b"{}")
            if self._feed.version:
                version = self._feed.version
                text = b"event: %s\ndata: %s\n\n" % (name.encode(), data)
                body = {"type": "http.response.body", "body": text, "more_body": True}
                await asyncio.wait_for(send(body), _PATIENCE)
                if name == "gone":
                    break
                since = now if view == "queue" else 0.0
            waiting = asyncio.ensure_future(self._feed.next(version))
            try:
                either: set[asyncio.Future[Any]] = {waiting, leaving}
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            finally:
                waiting.cancel()
        if not leaving.done():
            await asyncio.wait_for(send({"type": "http.response.body", "body": b""}), _PATIENCE)


async def _left(receive: Callable[[], Awaitable[_Message]]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _refuse(send: Callable[[_Message], Awaitable[None]], status: int, text: str) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})
