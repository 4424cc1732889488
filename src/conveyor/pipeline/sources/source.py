"""Where items come from: whatever a pipeline was given, as a stream that is read only as fast as it is wanted."""

from __future__ import annotations

import os
import select
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, Protocol, TypeVar

from ..._native import Channel
from ...errors import Empty, ShutDown

__all__ = ["IterableSource", "LineSource", "Measure", "QueueSource", "Source"]

T = TypeVar("T")


class Measure(Protocol):
    """Knows how far a source is in bytes."""

    @property
    def bytes_read(self) -> int:
        """Bytes so far."""
        ...

    @property
    def bytes_total(self) -> int | None:
        """Bytes in all; None: not known."""
        ...


class Source(Protocol[T]):
    """A stream of items that is read only as fast as they are wanted."""

    @property
    def total(self) -> int | None:
        """How many items there are in all, if that is known."""
        ...

    def fileno(self) -> int | None:
        """The descriptor that is readable when `fill` would not block; None: there is none to wait for."""
        ...

    def fill(self, want: int) -> None:
        """Read once, about so many. Afterwards there are more items, or the source is exhausted, or neither yet."""
        ...

    @property
    def available(self) -> int:
        """Items that `take` can hand out now."""
        ...

    @property
    def exhausted(self) -> bool:
        """Whether `fill` will bring nothing more."""
        ...

    def take(self, limit: int) -> list[T]:
        """Hand out up to `limit` of the items at hand."""
        ...

    def stop(self) -> None:
        """Begin to fetch nothing more; safe in a signal handler."""
        ...

    @property
    def fetching(self) -> bool:
        """Whether an item is being fetched, which nobody could give back."""
        ...

    def close(self) -> None:
        """Nothing more is wanted."""
        ...


class _Buffer(Generic[T]):
    def __init__(self) -> None:
        self._items: list[T] = []
        self._given = 0
        self._exhausted = False
        self._total: int | None = None

    @property
    def total(self) -> int | None:
        """How many items there are in all, if that is known."""
        return self._total

    @property
    def available(self) -> int:
        """Items that `take` can hand out now."""
        return len(self._items) - self._given

    @property
    def exhausted(self) -> bool:
        """Whether `fill` will bring nothing more."""
        return self._exhausted

    def take(self, limit: int) -> list[T]:
        """Hand out up to `limit` of the items at hand."""
        start = self._given
        if not start and limit >= len(self._items):
            taken, self._items = self._items, []
            return taken
        taken = self._items[start : start + limit]
        self._given += len(taken)
        if self._given == len(self._items):
            self._items = []
            self._given = 0
        return taken

    def stop(self) -> None:
        """Nothing is fetched but by `fill`."""

    fetching = False
    """Whether an item is being fetched: never, but in `fill`."""
    may_drop = False
    """Whether what was read and not taken is nobody's loss when nothing more is wanted."""

    def close(self) -> None:
        """Nothing more is wanted."""

    def _add(self, items: list[T]) -> None:
        self._items = self._items[self._given :] + items if self._items else items
        self._given = 0


class LineSource(_Buffer[bytes]):
    """The lines that a file descriptor brings, as bytes without their newline.

    A line is handed out as soon as it is there; a last line without a newline counts. Memory: one
    block, or the longest line.

    Args:
        fd: an open descriptor: a pipe, a file, a terminal, a socket. It is not closed.
        block: bytes to ask for at a time.
        separator: what ends a line: one byte.
    """

    may_drop = True
    """See `_Buffer`: whoever reads on from the descriptor is told how far it was used."""

    def __init__(self, fd: int, *, block: int = 256 * 1024, separator: bytes = b"\n") -> None:
        super().__init__()
        self._separator = separator
        self._fd = fd
        self._block = block
        self._poll = select.poll()
        self._poll.register(fd, select.POLLIN)
        # Parts of the line that has not ended yet: joined once, so that a huge line costs linear time.
        self._partial: list[bytes] = []
        self.bytes_read = 0
        """Bytes read so far."""

    def fileno(self) -> int:
        """The descriptor."""
        return self._fd

    @property
    def size(self) -> int | None:
        """Bytes from here to the end if that is known: for a regular file; else None."""
        status = os.fstat(self._fd)
        if not stat.S_ISREG(status.st_mode):
            return None
        return max(status.st_size - os.lseek(self._fd, 0, os.SEEK_CUR) + self.bytes_read, 0)

    def fill(self, want: int = 1) -> None:
        """Read a block, or what there is of it; nothing if there is nothing yet.

        Raises:
            OSError: the descriptor cannot be read.
        """
        if not self._poll.poll(0):
            return  # whoever waits here keeps the results of others waiting
        data = os.read(self._fd, self._block)
        self.bytes_read += len(data)
        if not data:
            self._exhausted = True
            if self._partial:
                self._add([b"".join(self._partial)])
                self._partial = []
            return
        if self._separator not in data:
            self._partial.append(data)
            return
        lines = data.split(self._separator)
        if self._partial:
            lines[0] = b"".join([*self._partial, lines[0]])
        rest = lines.pop()
        self._partial = [rest] if rest else []
        self._add(lines)


class IterableSource(_Buffer[T]):
    """The items of an iterable that never blocks for long: a list, a range, the lines of a file.

    It is iterated in the thread that runs the engine: while it blocks, results wait. `ThreadSource` is for others.

    Args:
        items: any iterable; an endless one will do.
        now: the time, in seconds.
    """

    # An iterable that is slow gives items one by one, one that is quick gives many at a time.
    _MOST = 256
    _SECONDS = 0.001

    measure: Measure | None = None
    """Knows how far it is in bytes."""

    def __init__(self, items: Iterable[T], now: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._now = now
        self._iterator: Iterator[T] = iter(items)
        try:
            self._total = len(items)  # type: ignore[arg-type]
        except (TypeError, OverflowError):
            self._total = None

    def fileno(self) -> None:
        """None: there is nothing to wait for."""

    def fill(self, want: int = 256) -> None:
        """Take some items; the iterable's own exceptions pass through, and end it."""
        from itertools import islice

        taken: list[T] = []
        stop = self._now() + self._SECONDS
        step = 1
        try:
            while len(taken) < want:
                before = len(taken)
                taken += islice(self._iterator, min(step, want - before))
                if len(taken) < before + min(step, want - before):
                    self._exhausted = True
                    break
                if self._now() > stop:
                    break
                step = min(4 * step, self._MOST)
        except BaseException:
            self._exhausted = True
            raise
        finally:
            self._add(taken)


class QueueSource(_Buffer[Any]):
    """The items of a conveyor queue, until it is shut down and empty.

    Args:
        queue: any of conveyor's queues.
    """

    def __init__(self, queue: Any) -> None:
        super().__init__()
        self._queue = queue
        self._reader = queue._reader
        self.channel = queue if isinstance(queue, Channel) else None
        """The queue, as something that can be looked at."""

    def fileno(self) -> int:
        """The queue's ready descriptor."""
        return self._reader.fileno()  # type: ignore[no-any-return]

    def fill(self, want: int = 1) -> None:
        """Take what is there; the loss of a producer is raised, after all that it put."""
        try:
            self._add(self._queue.get_many(want, block=False))
        except Empty:
            pass
        except ShutDown:
            self._exhausted = True
        except BaseException:
            self._exhausted = True
            raise
