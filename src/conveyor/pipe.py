"""Pipe: `multiprocessing.Pipe`, its data in shared memory.

The bytes go through a stream in shared memory; a kernel pipe or socket pair remains beside it for
what only the kernel can know: whether a process at the other end still lives (EOF, EPIPE), and a
descriptor to wait on together with others. Sends are whole messages under a lock, so any number of
threads and processes may share one end.
"""

from __future__ import annotations

import io
import os
import socket
from multiprocessing import connection, reduction
from typing import Any

from ._native import Channel, PipeEnd, Segment
from ._references import Descriptor, duplicate_for_child

__all__ = ["Connection", "Pipe"]

# Bytes that may wait before `send` blocks; a larger message passes when nothing else waits.
_BOUND_BYTES = 1 << 20


class Connection(connection.Connection):
    """One end of a `Pipe`; all that `multiprocessing.connection.Connection` has.

    Args:
        handle: the descriptor of this end's kernel pipe or socket; closed with the connection.
        inbox: what this end receives from, or None if it is write-only.
        outbox: what this end sends to, or None if it is read-only.
    """

    def __init__(self, handle: int, inbox: Segment | None, outbox: Segment | None) -> None:
        super().__init__(handle, readable=inbox is not None, writable=outbox is not None)
        self._end = PipeEnd(handle)
        self._inbox = self._channel(inbox)
        self._outbox = self._channel(outbox)

    def _channel(self, segment: Segment | None) -> Channel | None:
        if segment is None:
            return None
        channel = Channel(segment)
        channel._use_pipe(self._end)
        return channel

    def close(self) -> None:
        """Close this end in this process, and let go of its memory.

        Another thread's call on it ends with OSError, at once.
        """
        super().close()
        boxes = (self._inbox, self._outbox)
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

    # Another thread may have closed it since it was asked.

    def _sending(self) -> Channel:
        if (outbox := self._outbox) is None:
            raise OSError("handle is closed")
        return outbox

    def _receiving(self) -> Channel:
        if (inbox := self._inbox) is None:
            raise OSError("handle is closed")
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
        segments = [None if box is None else box._segment for box in (self._inbox, self._outbox)]
        memory = [None if segment is None else duplicate_for_child(segment.memory_fd) for segment in segments]
        return _rebuild, (reduction.DupFd(self.fileno()), *memory)


def _rebuild(handle: Descriptor, inbox: Descriptor | None, outbox: Descriptor | None) -> Connection:
    received = [None if memory is None else Segment.attach(memory.detach(), -1) for memory in (inbox, outbox)]
    return Connection(handle.detach(), *received)


def Pipe(duplex: bool = True) -> tuple[Connection, Connection]:  # noqa: N802 - multiprocessing's name
    """A pair of connected ends.

    Args:
        duplex: True: both ends send and receive; False: the first only receives, the second only sends.
    """
    if not duplex:
        stream = Segment.create(0, _BOUND_BYTES, soft=True, pipe=True)
        reading, writing = os.pipe()
        os.set_blocking(reading, False)
        os.set_blocking(writing, False)
        return Connection(reading, stream, None), Connection(writing, None, stream)
    there = Segment.create(0, _BOUND_BYTES, soft=True, pipe=True)
    back = Segment.create(0, _BOUND_BYTES, soft=True, pipe=True)
    one, other = socket.socketpair()
    return Connection(one.detach(), back, there), Connection(other.detach(), there, back)
