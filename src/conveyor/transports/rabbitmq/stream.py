"""pika's connection, which writes at once."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any

from ..outlet import Outlet
from ..port import ConnectionLost

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
        self._outlet: Outlet | None = None
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
        self._count(data)
        self._gathered.append(data)
        self.flush()

    def send_with(self, data: bytes, calls: Iterable[Callable[[], object]], results: list[Any]) -> bool:
        """Send frames from any thread; see `Outlet.send_with`."""
        outlet = self._outlet
        if outlet is None or not outlet.send_with(data, calls, results):
            return False
        self._count(data)
        return True

    def _count(self, data: bytes) -> None:
        this: Any = self
        this.bytes_sent += len(data)  # heartbeats go by that

    def flush(self) -> None:
        """Hand over to the system what was gathered, as far as it takes it now."""
        if not self._gathered:
            return
        data = b"".join(self._gathered)
        self._gathered.clear()
        if self._outlet is not None:
            with contextlib.suppress(ConnectionLost):  # the client finds out
                self._outlet.send(data)
        elif self._transport is not None:
            self._transport.write(data)
        # Else the connection is lost, and the calls that wait for answers raise that.

    def _proto_connection_made(self, transport: Any) -> None:
        raw: Any = getattr(transport, "_sock", None)
        if isinstance(raw, socket.socket) and not isinstance(raw, ssl.SSLSocket):
            with contextlib.suppress(ConnectionLost):
                self._outlet = Outlet(raw, transport.write)
        base: Any = super()
        base._proto_connection_made(transport)

    def _proto_connection_lost(self, error: Any) -> None:
        if self._outlet is not None:
            self._outlet.close()
        base: Any = super()
        base._proto_connection_lost(error)

    def forget(self) -> None:
        """Close the descriptors that a forked child has of it, and nothing else."""
        if self._outlet is not None:
            self._outlet.forget()
        found = getattr(self._transport, "_sock", None)
        if found is not None:
            with contextlib.suppress(OSError):
                os.close(found.detach())
