"""pika's connection, which writes at once."""

from __future__ import annotations

import contextlib
import socket
import ssl
from importlib import import_module
from typing import Any

__all__ = ["Stream"]

_Connection: Any = import_module("pika.adapters.asyncio_connection").AsyncioConnection


class Stream(_Connection):  # type: ignore[misc]
    """A connection in an asyncio loop whose frames are gathered, and written by `flush`.

    pika writes each frame when the loop has found the socket writable, once more around. Here frames that are sent in
    one go are one packet, which is on its way when `flush` returns: whoever is told then that something was
    acknowledged may die.
    """

    def __init__(self, parameters: Any, loop: Any, **callbacks: Any) -> None:
        self._gathered: list[bytes] = []
        self._will_flush = False
        self._native_loop = loop
        base: Any = super()
        base.__init__(parameters, custom_ioloop=loop, **callbacks)

    def _adapter_emit_data(self, data: bytes) -> None:
        self._gathered.append(data)
        if not self._will_flush:
            self._will_flush = True
            self._native_loop.call_soon(self._flush_soon)

    def _flush_soon(self) -> None:
        self._will_flush = False
        self.flush()

    def send(self, data: bytes) -> None:
        """Send frames that were made elsewhere: they are with the system when this returns."""
        this: Any = self
        this.bytes_sent += len(data)  # heartbeats go by that
        self._gathered.append(data)
        self.flush()

    def flush(self) -> None:
        """Hand over to the system what was gathered, as far as it takes it now."""
        if not self._gathered:
            return
        data = b"".join(self._gathered)
        self._gathered.clear()
        transport = self._transport
        if transport is None:
            return  # the connection is lost, and what waits for answers is told so
        raw: Any = getattr(transport, "_sock", None)
        plain = isinstance(raw, socket.socket) and not isinstance(raw, ssl.SSLSocket)
        if plain and not transport.get_write_buffer_size():
            with contextlib.suppress(OSError):  # it is full, or broken: the client finds out
                data = data[raw.send(data) :]
            if not data:
                return
        transport.write(data)
