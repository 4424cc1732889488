"""The way out of a connection, for any thread: what a thread has to send goes to the socket at once."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import Iterable
from typing import Any

from ..port import ConnectionLost

__all__ = ["Outlet"]


class Outlet:
    """Sends whole messages of the protocol, one after the other, whoever sends them.

    The client's own writes go through it as well. Over TLS everything is sent by the loop.

    Args:
        transport: the client's.

    Raises:
        ConnectionLost: the connection was closed meanwhile.
    """

    def __init__(self, transport: Any) -> None:
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._left = b""
        self._socket: socket.socket | None = None
        self._closed = False
        writer = transport._io_writer
        self._write = writer.write
        if writer.get_extra_info("ssl_object") is None:
            # A descriptor of its own: the loop watches the other one for its reader.
            try:
                self._socket = socket.socket(fileno=os.dup(writer.get_extra_info("socket").fileno()))
            except OSError as error:  # it is closed already
                raise ConnectionLost(str(error)) from error
            self._socket.setblocking(False)
            transport.write = self._send_client
            transport.writelines = self._send_lines
            transport.drain = self._drain

    def send(self, data: bytes) -> None:
        """Send it; does not block.

        Raises:
            ConnectionLost: it cannot be sent.
        """
        if self._socket is None:
            try:
                self._loop.call_soon_threadsafe(self._write, data)
            except RuntimeError as error:
                raise ConnectionLost("the connection is closed") from error
            return
        with self._lock:
            if self._closed:
                raise ConnectionLost("the connection is closed")
            if self._left:
                self._left += data
                return
            try:
                sent = self._socket.send(data)
            except BlockingIOError:
                sent = 0
            except OSError as error:
                raise ConnectionLost(str(error)) from error
            if sent < len(data):
                self._left = data[sent:]
                with contextlib.suppress(RuntimeError):  # the loop is closed
                    self._loop.call_soon_threadsafe(self._watch)

    def _send_client(self, data: bytes) -> None:
        with contextlib.suppress(ConnectionLost):  # it reads that
            self.send(data)

    def _send_lines(self, lines: Iterable[bytes]) -> None:
        self._send_client(b"".join(lines))

    async def _drain(self) -> None:
        pass

    def _watch(self) -> None:
        with self._lock:
            if not self._closed and self._socket is not None:
                self._loop.add_writer(self._socket, self._send_left)

    def _send_left(self) -> None:
        """There is room for some of what was left; in the loop."""
        with self._lock:
            if self._closed or self._socket is None:
                return
            try:
                self._left = self._left[self._socket.send(self._left) :]
            except BlockingIOError:
                return
            except OSError:
                self._left = b""  # whoever reads is told
            if not self._left:
                self._loop.remove_writer(self._socket)

    def close(self) -> None:
        """Send no more; in the loop. Idempotent."""
        with self._lock:
            was, self._closed = self._closed, True
            if self._socket is not None and not was:
                self._loop.remove_writer(self._socket)
                self._socket.close()

    def forget(self) -> None:
        """Close the descriptor that a forked child has of it, and nothing else."""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                os.close(self._socket.detach())
