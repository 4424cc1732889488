"""A connection to NATS, in the thread of its event loop."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import errno
import itertools
import json
import os
import ssl
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from importlib import import_module
from typing import Any, NamedTuple

from ...errors import NotSupported
from ..loop_connection import first_that_answers
from ..outlet import Outlet
from ..port import ConnectionLost
from ..tls import tls_context
from ..url import Url
from .protocol import ApiError, NobodyThere, checked, published

__all__ = ["Wire"]

# A server that has not let us in for so long is tried once more.
_CONNECT_SECONDS = 5.0
# Who is silent for two of them is taken for dead.
_PING_SECONDS = 10

_Told = Callable[[bytes, "Exception | None"], None]

_nats: Any = import_module("nats")
_errors: Any = import_module("nats.errors")

_DENIED = ("authorization violation", "authentication", "permissions violation")


class Stored(NamedTuple):
    """A message in a stream."""

    number: int
    headers: dict[str, str]
    body: bytes
    time: str
    """When it was stored, in ISO 8601."""


class _Direct:
    """What a subscription of the client's takes for a future: each message goes to a function at once.

    Its own way is a queue and a task for each subscription.
    """

    def __init__(self, wire: Wire, came: Callable[[Any], None]) -> None:
        self._wire = wire
        self._came = came

    def cancelled(self) -> bool:
        return False

    def set_result(self, message: Any) -> None:
        try:
            self._came(message)
        except Exception as error:
            self._wire.broken_by(error)  # in the client, it would only end its reading


class Wire:
    """One connection. All methods are for the loop's thread.

    Attributes:
        lost: why it is no more; None: it is there.
        info: what the server has said of itself.
    """

    def __init__(self, url: Url) -> None:
        self._url = url
        self._raw: Any = None
        self._inbox = ""
        self._numbers = itertools.count()
        self._outlet: Outlet | None = None
        self._waiting: dict[str, _Told] = {}
        self._to_tell: list[Callable[[Exception], None]] = []
        self._connecting = True
        self._out: list[bytes] = []
        self._flushes = False
        self.lost: Exception | None = None
        self.info: Mapping[str, Any] = {}

    # -- connection

    async def open(self, wait: float) -> None:
        """Connect to one of the servers.

        Raises:
            ConnectionLost, PermissionError: see `Connection.open`.
            NotSupported: JetStream is off.
        """
        wait = min(wait, _CONNECT_SECONDS)
        await first_that_answers(self._url, partial(self._connect, wait), wait, self._abort)
        if not self.info.get("jetstream"):
            self._abort()
            raise NotSupported(
                f"{self._url}: JetStream is off at this server (start it with -js, or with jetstream {{}} in its file)"
            )

    async def _connect(self, wait: float, host: str, port: int | None) -> None:
        url = self._url
        secure = url.scheme == "tls"
        raw = self._raw = _nats.NATS()
        self._connecting = True
        options: dict[str, Any] = {"tls": tls_context(url)} if secure else {}
        if url.options["credentials"]:
            options["user_credentials"] = url.options["credentials"]
        elif url.user and not url.password:
            options["token"] = lambda: self._secret(url.user)
        elif url.user:
            options["user"] = url.user
            options["password"] = lambda: self._secret(url.password)
        where = f"[{host}]" if ":" in host else host
        try:
            await raw.connect(
                f"{'tls' if secure else 'nats'}://{where}:{port or 4222}",
                error_cb=self._on_error,
                closed_cb=self._on_close,
                allow_reconnect=False,  # what is lost is healed by the base, which knows what may be repeated
                connect_timeout=wait,
                ping_interval=_PING_SECONDS,
                max_outstanding_pings=1,
                **options,
            )
        except (ConnectionLost, PermissionError):
            self._abort()
            raise
        except (OSError, _errors.Error) as error:
            self._abort()
            raise self._meaning(error) from error
        self._connecting = False
        self.lost = None
        self.info = raw._server_info
        self._outlet = self._outlet_of(raw._transport)
        self._inbox = f"_INBOX.{os.urandom(12).hex()}."
        await self.subscribe(f"{self._inbox}*", self._answered)

    def _outlet_of(self, transport: Any) -> Outlet:
        writer = transport._io_writer
        if writer.get_extra_info("ssl_object") is not None:
            return Outlet(None, writer.write)
        outlet = Outlet(writer.get_extra_info("socket"), writer.write)

        # What the client sends itself goes the same way.
        def write(data: bytes) -> None:
            with contextlib.suppress(ConnectionLost):  # it reads that
                outlet.send(data)

        def write_lines(lines: Iterable[bytes]) -> None:
            write(b"".join(lines))

        async def drain() -> None:
            pass

        transport.write = write
        transport.writelines = write_lines
        transport.drain = drain
        return outlet

    def _secret(self, secret: str) -> str:
        # The client speaks plainly with a server that does not ask for TLS, whatever the URL says.
        if self._url.scheme == "tls" and not self._raw._server_info.get("tls_required"):
            raise PermissionError(
                errno.EACCES, f"{self._url}: this server does not demand TLS: no password is sent to it"
            )
        return secret

    async def _on_error(self, error: Exception) -> None:
        if self._connecting:
            raise self._meaning(error)
        meaning = self._meaning(error)
        if isinstance(meaning, PermissionError):
            self._fail(meaning)  # which of the questions it is about is not said
        else:
            self._break(meaning)

    async def _on_close(self) -> None:
        self._break(ConnectionLost("the server has closed the connection"))

    def _meaning(self, error: Exception) -> Exception:
        """What an error of the client's means."""
        if isinstance(error, ConnectionLost | PermissionError):
            return error
        text = str(error) or repr(error)
        if isinstance(error, ssl.SSLCertVerificationError) or any(word in text.lower() for word in _DENIED):
            return PermissionError(errno.EACCES, f"{self._url}: {text}")
        return ConnectionLost(f"{type(error).__name__}: {text}")

    def _fail(self, error: Exception) -> None:
        waiting, self._waiting = self._waiting, {}
        for told in waiting.values():
            told(b"", error)

    def _break(self, error: Exception) -> None:
        if self.lost is None:
            self.lost = error
            self._fail(error)
            for tell in self._to_tell:
                tell(error)

    def when_lost(self, tell: Callable[[Exception], None]) -> None:
        """Have `tell` called when the connection is lost."""
        self._to_tell.append(tell)

    def drop(self) -> None:
        """End it without waiting. Never raises."""
        self._break(ConnectionLost("the connection was closed"))
        self._abort()

    def _abort(self) -> None:
        raw = self._raw
        if raw is None:
            return
        for task in (raw._reading_task, raw._ping_interval_task, raw._flusher_task):
            if task is not None:
                task.cancel()
        raw._status = raw.CLOSED
        for sub in list(raw._subs.values()):
            sub._stop_processing()
        if self._outlet is not None:
            self._outlet.close()
        for writer in self._writers():
            writer.transport.abort()

    def _writers(self) -> list[Any]:
        transport = getattr(self._raw, "_transport", None)
        found = [getattr(transport, name, None) for name in ("_io_writer", "_bare_io_writer")]
        return [writer for writer in found if writer is not None]

    async def close(self) -> None:
        """End it."""
        self.drop()
        for writer in self._writers():
            with contextlib.suppress(Exception):
                await asyncio.wait_for(writer.wait_closed(), 1.0)

    def forget(self) -> None:
        """Close the descriptors that a forked child has of it, and nothing else."""
        if self._outlet is not None:
            self._outlet.forget()
        for writer in self._writers():
            found = writer.transport.get_extra_info("socket")
            if found is not None:
                with contextlib.suppress(OSError):
                    os.close(found._sock.detach())

    # -- questions and answers

    async def subscribe(self, subject: str, came: Callable[[Any], None]) -> None:
        """Have `came` called with what is published there; from now on, when this returns."""
        self._check()
        try:
            await self._raw.subscribe(subject, future=_Direct(self, came))
            await self._raw.flush(_CONNECT_SECONDS)
        except _errors.Error as error:
            raise self._broken(error) from error

    def new_inbox(self) -> str:
        """A subject that nobody else has."""
        return f"_INBOX.{os.urandom(12).hex()}"

    def say(self, subject: str, body: bytes = b"", reply: str = "") -> None:
        """Publish, without an answer."""
        self._check()
        self._out.append(published(subject, reply, body, None))
        self._flush_soon()

    def begin(
        self, subject: str, body: bytes, headers: dict[str, str] | None = None
    ) -> asyncio.Future[bytes]:
        """Publish a question; its answer will be in the future."""
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        def told(answer: bytes, error: Exception | None) -> None:
            if future.done():
                return
            if error is None:
                future.set_result(answer)
            else:
                future.set_exception(error)
                future.exception()  # nobody may be waiting any more

        self._out.append(self._question(told, subject, body, headers))
        self._flush_soon()
        return future

    def post(self, told: _Told, subject: str, body: bytes, headers: dict[str, str]) -> None:
        """Publish a question at once, from any thread; `told` is called in the loop with the answer, or without one."""
        data = self._question(told, subject, body, headers)
        self.send(data)

    def _question(self, told: _Told, subject: str, body: bytes, headers: dict[str, str] | None) -> bytes:
        token = str(next(self._numbers))
        self._waiting[token] = told
        self._check()  # after that: who breaks the connection tells all who wait
        return published(subject, self._inbox + token, body, headers)

    def send(self, data: bytes) -> None:
        """Send what `published` has made, from any thread."""
        self._check()
        if self._outlet is None:
            raise ConnectionLost("not connected")
        self._outlet.send(data)

    def _flush_soon(self) -> None:
        if not self._flushes:
            self._flushes = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._flushes = False
        out, self._out = self._out, []
        if out and self.lost is None:
            try:
                self.send(b"".join(out))
            except ConnectionLost as error:
                self._break(error)

    async def ask(self, subject: str, body: bytes = b"", headers: dict[str, str] | None = None) -> bytes:
        """The answer to a question.

        Raises:
            NobodyThere, ConnectionLost.
        """
        return await self.begin(subject, body, headers)

    async def api(self, what: str, arguments: Mapping[str, Any] | None = None) -> Any:
        """What JetStream answers.

        Raises:
            ApiError: it says that it cannot.
        """
        answer = await self.ask(
            f"$JS.API.{what}", b"" if arguments is None else json.dumps(arguments).encode()
        )
        return checked(answer)

    async def message(self, stream: str, **which: Any) -> tuple[int, str, bytes] | None:
        """A message of a stream, as its number, its subject and its body; None: there is none.

        Args:
            stream: its name.
            which: `last_by_subj`, or `seq` and perhaps `next_by_subj`.
        """
        try:
            found = (await self.api(f"STREAM.MSG.GET.{stream}", which))["message"]
        except ApiError as error:
            if error.code in (ApiError.NO_MESSAGE, ApiError.NO_STREAM):
                return None
            raise
        return found["seq"], found["subject"], base64.b64decode(found.get("data", ""))

    async def first_from(self, stream: str, number: int) -> Stored | None:
        """The first message of a stream from this number on; None: there is none."""
        try:
            found = await self.api(f"STREAM.MSG.GET.{stream}", {"seq": number, "next_by_subj": ">"})
        except ApiError as error:
            if error.code not in (ApiError.NO_MESSAGE, ApiError.NO_STREAM):
                raise
            return None
        message = found["message"]
        return Stored(
            message["seq"], _headers(message), base64.b64decode(message.get("data", "")), message["time"]
        )

    async def messages(self, stream: str, numbers: Iterable[int]) -> list[tuple[dict[str, str], bytes]]:
        """Those of a stream with these numbers that are there, as headers and body; they stay there."""
        answers = [
            self.begin(f"$JS.API.STREAM.MSG.GET.{stream}", b'{"seq": %d}' % number) for number in numbers
        ]
        found: list[tuple[dict[str, str], bytes]] = []
        for answer in answers:
            try:
                message = checked(await answer)["message"]
            except ApiError as error:
                if error.code != ApiError.NO_MESSAGE:
                    raise
                continue
            found.append((_headers(message), base64.b64decode(message.get("data", ""))))
        return found

    def _answered(self, message: Any) -> None:
        told = self._waiting.pop(message.subject[len(self._inbox) :], None)
        if told is None:
            return
        headers = message.headers
        nobody = headers and headers.get("Status") == "503" and not message.data
        told(message.data, NobodyThere() if nobody else None)

    def _check(self) -> None:
        if self.lost is not None:
            raise ConnectionLost(str(self.lost))

    def broken_by(self, error: Exception) -> None:
        """Something has come that nothing can be made of."""
        self._break(ConnectionLost(f"what the server has sent cannot be read: {error!r}"))

    def _broken(self, error: Exception) -> ConnectionLost:
        return ConnectionLost(f"{type(error).__name__}: {error}")

    @property
    def longest(self) -> int:
        """How many bytes a message may have, with its headers."""
        return int(self.info.get("max_payload", 2**20))

    @property
    def version(self) -> list[int]:
        """Of the server."""
        words = str(self.info.get("version", "0")).partition("-")[0].split(".")
        return [int(word) if word.isdigit() else 0 for word in words]


def _headers(message: Any) -> dict[str, str]:
    lines = base64.b64decode(message.get("hdrs", "")).decode("utf-8", "replace").split("\r\n")
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
