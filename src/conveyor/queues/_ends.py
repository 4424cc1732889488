"""`_reader` and `_writer` of a queue: what the standard library's own code reaches for.

`Pool`, `ProcessPoolExecutor` and `multiprocessing.connection.wait` use a queue's pipe ends directly.
These stand in for them. Each holds a channel of its own on the queue's segment, so that the queue
and its ends form no reference cycle and the memory goes with the last reference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._native import Channel

if TYPE_CHECKING:
    from .._native import Segment
    from ..codecs import Codec

__all__ = ["NoLock", "Reader", "Writer"]


class _End:
    readable = False
    writable = False

    # None: one of a queue that is closed.
    def __init__(self, segment: Segment | None, codec: str | Codec = "auto") -> None:
        self._channel = None if segment is None else Channel(segment, codec)
        self.closed = segment is None

    def _check(self) -> Channel:
        channel = self._channel
        if self.closed or channel is None:
            raise OSError("handle is closed")
        return channel

    def fileno(self) -> int:
        """A descriptor that is readable if and only if an item can be taken.

        From the first call on, puts and gets keep it up to date, at the price of a system call
        whenever the queue becomes empty or ceases to be.
        """
        return self._check()._watch()

    def close(self) -> None:
        """Close this end in this process. When no process has a writing (reading) end any more, whoever waits at a
        reading (writing) one gets EOFError (BrokenPipeError), if its own process has closed the other end, too.
        """
        channel, self._channel = self._channel, None
        self.closed = True
        if channel is not None:
            channel._close_end(self.writable)

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Reader(_End):
    """The end that items come out of."""

    readable = True

    def poll(self, timeout: float | None = 0.0) -> bool:
        """Whether an item can be taken; waits up to `timeout` seconds for one, None: for ever."""
        return self._check()._wait_item(timeout)

    def recv(self) -> Any:
        """Take an item; waits for one."""
        return self._check()._get_object()

    def recv_bytes(self, maxlength: int | None = None) -> bytes:
        """Take an item as its pickle."""
        if maxlength is not None and maxlength < 0:
            raise ValueError("negative maxlength")
        data = self._check()._get_bytes()
        if maxlength is not None and len(data) > maxlength:
            raise OSError("bad message length")
        return data


class Writer(_End):
    """The end that items go into."""

    writable = True

    def send(self, obj: Any) -> None:
        """Put an item; waits for room."""
        self._check()._put_object(obj)

    def send_bytes(self, buf: bytes | bytearray | memoryview) -> None:
        """Put an item that is pickled already."""
        self._check()._put_bytes(buf)


class NoLock:
    """Stands where `multiprocessing`'s queues have a lock; ours lock inside, and only for an instant."""

    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        """Succeed at once."""
        return True

    def release(self) -> None:
        """Do nothing."""

    def __enter__(self) -> bool:
        return True

    def __exit__(self, *_: object) -> None:
        pass
