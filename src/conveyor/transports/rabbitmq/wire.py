"""A connection to RabbitMQ, in the thread of its event loop."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import re
import ssl
from functools import partial
from importlib import import_module
from typing import Any

from ..loop_connection import first_that_answers
from ..port import ConnectionLost
from ..tls import tls_context
from ..url import Url
from .channel import Channel
from .stream import Stream

__all__ = ["Wire"]

# A server that has not let us in for so long is tried once more.
_CONNECT_SECONDS = 5.0

_pika: Any = import_module("pika")
_errors: Any = _pika.exceptions


class Wire:
    """One connection. All methods are for the loop's thread."""

    def __init__(self, url: Url) -> None:
        self._url = url
        self._raw: Any = None
        self._kept: dict[str, Channel] = {}
        self._opening = asyncio.Lock()
        self.writing = asyncio.Lock()
        """Held by who changes the record: the lock at the server is one of connections."""

    async def open(self, wait: float) -> None:
        """Connect to the first of the servers that answers.

        Raises:
            ConnectionLost, PermissionError: see `Connection.open`.
        """
        wait = min(wait, _CONNECT_SECONDS)
        await first_that_answers(self._url, partial(self._connect, wait), wait, self.drop)

    async def _connect(self, wait: float, host: str, port: int | None) -> None:
        loop = asyncio.get_running_loop()
        opened: asyncio.Future[Any] = loop.create_future()

        def failed(_: Any, error: Any) -> None:
            if not opened.done():
                opened.set_exception(self._meaning(error))

        def done(_: Any) -> None:
            if not opened.done():
                opened.set_result(None)

        self._raw = Stream(
            self._parameters(host, port, wait),
            loop,
            on_open_callback=done,
            on_open_error_callback=failed,
            on_close_callback=failed,
        )
        try:
            await opened
        except BaseException:
            await self.close()
            raise

    def _parameters(self, host: str, port: int | None, wait: float) -> Any:
        url = self._url
        secure = url.scheme == "amqps"
        options: dict[str, Any] = {}
        if secure:
            options["ssl_options"] = _pika.SSLOptions(tls_context(url), host)
        return _pika.ConnectionParameters(
            host=host,
            port=port or (5671 if secure else 5672),
            virtual_host=url.path or "/",
            credentials=_pika.PlainCredentials(url.user or "guest", url.password or "guest"),
            connection_attempts=1,
            socket_timeout=wait,
            stack_timeout=wait,
            heartbeat=url.options["heartbeat"],
            **options,
        )

    def _meaning(self, error: Any) -> Exception:
        """What an error of opening means."""
        denied = _errors.AuthenticationError, ssl.SSLCertVerificationError
        seen: list[Any] = [error]
        for each in seen:  # the client wraps what it found in several layers
            if isinstance(each, denied):
                return PermissionError(errno.EACCES, f"{self._url}: {type(each).__name__}: {each}")
            # The client keeps no more of it than the text; and says "probable" also when the connection was cut.
            said = re.search(r"\((?:403|530)\)", str(each))
            if said or getattr(each, "reply_code", 0) in (403, 530):
                return PermissionError(errno.EACCES, f"{self._url}: {each}")
            inner = [*getattr(each, "exceptions", ()), *getattr(each, "args", ()), each.__cause__]
            inner += [getattr(each, "exception", None)]
            seen += [one for one in inner if isinstance(one, BaseException) and one not in seen]
        return ConnectionLost(repr(error))

    @property
    def is_open(self) -> bool:
        """Whether it is, as far as we know."""
        return self._raw is not None and bool(self._raw.is_open)

    async def channel(self) -> Channel:
        """A new channel."""
        if not self.is_open:
            raise ConnectionLost("the connection is closed")
        loop = asyncio.get_running_loop()
        opened: asyncio.Future[Any] = loop.create_future()

        def done(raw: Any) -> None:
            if not opened.done():
                opened.set_result(raw)

        def failed(_: Any, why: Any) -> None:
            if not opened.done():
                opened.set_exception(ConnectionLost(repr(why)))

        raw: Any = self._raw.channel(on_open_callback=done)
        raw.add_on_close_callback(failed)
        await opened
        return Channel(raw)

    def opened(self, name: str) -> Channel | None:
        """The channel of that name, if it is open already; for any thread."""
        channel = self._kept.get(name)
        return None if channel is None or channel.closed is not None else channel

    async def kept(self, name: str) -> Channel:
        """The channel of that name; made if there is none, or if the server has closed it."""
        channel = self.opened(name)
        if channel is not None:
            return channel
        async with self._opening:
            channel = self._kept.get(name)
            if channel is None or channel.closed is not None:
                if name == "lease" and channel is not None:
                    # What was leased through it is somebody else's now.
                    self.drop()
                    raise ConnectionLost(f"the server has closed a channel: {channel.closed}")
                channel = await self.channel()
                if name == "put":
                    await channel.confirmed()
                self._kept[name] = channel
        return channel

    def drop(self) -> None:
        """End it without waiting. Never raises."""
        raw = self._raw
        if raw is not None and not (raw.is_closed or raw.is_closing):
            with contextlib.suppress(Exception):
                raw.close()

    async def close(self) -> None:
        """End it, as far as a second allows."""
        self.drop()
        for _ in range(200):
            if self._raw is None or self._raw.is_closed:
                return
            await asyncio.sleep(0.005)

    def forget(self) -> None:
        """Close the descriptor that a forked child has of it, and nothing else."""
        if self._raw is not None:
            self._raw.forget()
