"""Pipe: `multiprocessing.Pipe`, its data in shared memory.

The bytes go through a stream in shared memory; a kernel pipe or socket pair remains beside it for
what only the kernel can know: whether a process at the other end still lives (EOF, EPIPE), and a
descriptor to wait on together with others. Sends are whole messages under a lock, so any number of
threads and processes may share one end.

The memory is made when something is first sent, received or waited for, or the process forks, or an end is
pickled: until then a pipe is what `multiprocessing`'s is, two descriptors.
"""

from __future__ import annotations

import io
import os
from _socket import socketpair
from multiprocessing import connection
from typing import Any

from .._memory.passing import Descriptor
from .._memory.references import descriptor_to_send
from .._native import Channel, PipeEnd, Segment
from ._direction import Direction

__all__ = ["Connection", "Pipe"]


class Connection(connection.Connection):
    """One end of a `Pipe`; all that `multiprocessing.connection.Connection` has.

    Args:
        handle: the descriptor of this end's kernel pipe or socket; closed with the connection.
        inbox: what this end receives from, or None if it is write-only.
        outbox: what this end sends to, or None if it is read-only.
    """

    def __init__(self, handle: int, inbox: Direction | None, outbox: Direction | None) -> None:
        super().__init__(handle, readable=inbox is not None, writable=outbox is not None)
        self._end = PipeEnd(handle)
        self._in = inbox
        self._out = outbox
        # Opened at first use.
        self._inbox: Channel | None = None
        self._outbox: Channel | None = None

    def _open(self, direction: Direction | None) -> Channel:
        # None, here and below: another thread has closed it since it was asked.
        if direction is None:
            raise OSError("handle is closed")
        channel = Channel(direction.segment())
        channel._use_pipe(self._end)
        return channel

    def close(self) -> None:
        """Close this end in this process, and let go of its memory.

        Another thread's call on it ends with OSError, at once.
        """
        super().close()
        boxes = (self._inbox, self._outbox)
        self._in = self._out = None
        self._inbox = self._outbox = None
        for box in boxes:
            if box is not None:
                box._wake_all()

    def _close(self, *_: Any) -> None:
        self._end.close()  # the base class would close the number while another thread's call is on it

    def send(self, obj: Any) -> None:
        """Send an object; it is pickled here, and errors of that are raised here.

        Returns when the object is in shared memory; one of more than 1 MiB when it has been received, as
        with `multiprocessing`, whose pipe holds less.

        Raises:
            BrokenPipeError: the other end is closed in every process.
        """
        self._check_closed()  # type: ignore[attr-defined]
        self._check_writable()  # type: ignore[attr-defined]
        self._sending()._put_object(obj)

    def recv(self) -> Any:
        """Receive an object; waits for one.

        Raises:
            EOFError: nothing is left and the other end is closed in every process.
        """
        self._check_closed()  # type: ignore[attr-defined]
        self._check_readable()  # type: ignore[attr-defined]
        return self._receiving()._get_object()

    def _sending(self) -> Channel:
        if (outbox := self._outbox) is None:
            self._outbox = outbox = self._open(self._out)
            if self._out is None:
                self._outbox = None
        return outbox

    def _receiving(self) -> Channel:
        if (inbox := self._inbox) is None:
            self._inbox = inbox = self._open(self._in)
            if self._in is None:
                self._inbox = None
        return inbox

    # The base class checks arguments and states and calls these three.

    def _send_bytes(self, buf: memoryview) -> None:
        self._sending()._put_bytes(buf)

    def _recv_bytes(self, maxsize: int | None = None) -> io.BytesIO | None:
        data = self._receiving()._get_bytes()
        if maxsize is not None and len(data) > maxsize:
            return None
        received = io.BytesIO(data)
        received.seek(0, os.SEEK_END)  # the base class reads the size off the position
        return received

    def _poll(self, timeout: float | None) -> bool:
        return self._receiving()._wait_item(timeout)

    def __reduce__(self) -> tuple[Any, ...]:
        segments = [None if each is None else each.segment() for each in (self._in, self._out)]
        memory = [
            None if segment is None else descriptor_to_send(segment.memory_fd, shared=True)
            for segment in segments
        ]
        return _rebuild, (descriptor_to_send(self.fileno()), *memory)


def _rebuild(handle: Descriptor, inbox: Descriptor | None, outbox: Descriptor | None) -> Connection:
    received = [
        None if memory is None else Direction(Segment.attach(memory.detach(), -1))
        for memory in (inbox, outbox)
    ]
    return Connection(handle.detach(), *received)


def Pipe(duplex: bool = True) -> tuple[Connection, Connection]:  # noqa: N802 - multiprocessing's name
    """A pair of connected ends.

    Args:
        duplex: True: both ends send and receive; False: the first only receives, the second only sends.
    """
    there = Direction()
    if not duplex:
        reading, writing = os.pipe()
        os.set_blocking(reading, False)
        os.set_blocking(writing, False)
        return Connection(reading, there, None), Connection(writing, None, there)
    back = Direction()
    one, other = socketpair()
    return Connection(one.detach(), back, there), Connection(other.detach(), there, back)
