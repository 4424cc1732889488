"""The way out of a connection, for any thread: what a thread has to send goes to the socket at once."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterable
from functools import partial
from operator import call
from typing import Any

from .port import ConnectionLost

__all__ = ["Outlet"]

_call: Callable[[Callable[[], Any]], Any] = call


class Outlet:
    """Sends whole messages of the protocol, one after the other, from any thread. Made in the connection's loop.

    Args:
        raw: the connection's socket, in plain text; it is used by a descriptor of its own, as the loop watches the
            other one for its reader. None: everything is sent by the loop, by `write`.
        write: the client's own way to send.

    Raises:
        ConnectionLost: the connection was closed meanwhile.
    """

    def __init__(self, raw: socket.socket | None, write: Callable[[bytes], object]) -> None:
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._left = b""
        self._socket: socket.socket | None = None
        self._closed = False
        self._write = write
        if raw is not None:
            try:
                self._socket = socket.socket(fileno=os.dup(raw.fileno()))
            except OSError as error:  # it is closed already
                raise ConnectionLost(str(error)) from error
            self._socket.setblocking(False)

    @property
    def sends_at_once(self) -> bool:
        """Whether what is sent is with the system when `send` returns, unless that takes no more."""
        return self._socket is not None

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
                self._keep(data[sent:])

    def send_with(self, data: bytes, calls: Iterable[Callable[[], object]], results: list[Any]) -> bool:
        """Send it at once, and make the calls: all of this or nothing, whatever the handler of a signal raises.

        The interpreter runs handlers between two of its own instructions, and this is one: the calls must be of
        functions in C, and raise nothing.

        Args:
            data: to be sent.
            calls: made when it is sent.
            results: empty; it gets something if all was done, also when this raises.

        Returns:
            Whether it was done; if not, it cannot be sent at once, and `send` says why.
        """
        with self._lock:
            if self._closed or self._left or self._socket is None:
                return False
            try:
                steps: list[Callable[[], Any]] = [partial(self._socket.send, data), *calls]
                results.extend(map(_call, steps))
            except OSError:
                return False
            finally:
                if results and results[0] < len(data):
                    self._keep(data[results[0] :])
        return True

    def _keep(self, data: bytes) -> None:
        self._left = data
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._watch)

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
                self._left = b""  # the next read raises
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
