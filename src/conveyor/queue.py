"""Queue: `multiprocessing.Queue`, in shared memory."""

from __future__ import annotations

import copyreg
from typing import TYPE_CHECKING, Any, TypeVar

from ._ends import NoLock, Reader, Writer
from ._native import QueueChannel, Segment
from ._references import Reference, forget_received, reference_to
from .statistics import Statistics

if TYPE_CHECKING:
    from multiprocessing.context import BaseContext

__all__ = ["Queue"]

T = TypeVar("T")

# What multiprocessing reports as the bound of an unbounded queue on Linux (its SEM_VALUE_MAX).
_NO_BOUND = 2**31 - 1


def checked_bounds(maxsize: int, max_bytes: int | None) -> tuple[int, int]:
    """Both bounds as the core takes them, where 0 is unbounded.

    Raises:
        TypeError: `maxsize` or `max_bytes` is no integer.
        ValueError: `max_bytes` is not positive.
    """
    if not hasattr(maxsize, "__index__"):
        raise TypeError(f"maxsize is {maxsize!r}; it must be an integer, 0 for no bound")
    if max_bytes is not None and not hasattr(max_bytes, "__index__"):
        raise TypeError(f"max_bytes is {max_bytes!r}; it must be an integer, or None for no bound")
    if max_bytes is not None and max_bytes <= 0:
        raise ValueError(f"max_bytes is {max_bytes}; it must be at least 1, or None for no bound")
    limit = 2**63
    return min(max(int(maxsize), 0), limit), min(max_bytes or 0, limit)


class Queue(QueueChannel[T]):
    """A first-in first-out queue between any number of processes and threads.

    A drop-in for `multiprocessing.Queue`: the same methods, arguments and exceptions. What differs is
    for the better: `put` pickles in the caller, so errors are raised there, and when it returns, the
    item is in shared memory, visible to all, whatever becomes of this process. A process may be
    killed at any moment without harm to the others. No thread, no semaphore and no file is left behind.

    Args:
        maxsize: items that may wait before `put` blocks; 0 or less: no bound.
        ctx: accepted as by `multiprocessing.queues.Queue`; any start method will do.
        max_bytes: bytes of pickled items that may wait before `put` blocks; None: no bound. An item
            that is larger than that raises `ItemTooLarge`.

    Raises:
        OutOfMemory: the system has no memory or address space for a queue.
    """

    def __init__(
        self, maxsize: int = 0, *, ctx: BaseContext | None = None, max_bytes: int | None = None
    ) -> None:
        forget_received()
        items, size = checked_bounds(maxsize, max_bytes)
        self._attach(Segment.create(items, size))

    def _attach(self, segment: Segment) -> None:
        super().__init__(segment)
        # The names that the standard library's own code looks for.
        self._ignore_epipe = False
        self._rlock = NoLock()
        self._wlock = NoLock()

    @classmethod
    def on_segment(cls, segment: Segment) -> Queue[Any]:
        """A queue on shared memory that exists already; for the transports."""
        self: Queue[Any] = cls.__new__(cls)
        self._attach(segment)
        return self

    # -- state ------------------------------------------------------------------------------------

    def qsize(self) -> int:
        """How many items wait now. Exact, and right at once after a `put` or `get` anywhere."""
        return self._depth()

    def empty(self) -> bool:
        """Whether no item waits now.

        Raises:
            OSError: the queue was used and then closed by this process.
        """
        if self._is_closed and self._segment.has_put:
            raise OSError(f"Queue {self!r} is closed")
        return self._is_empty()

    def full(self) -> bool:
        """Whether a bound is reached now."""
        return self._is_full()

    def statistics(self) -> Statistics:
        """A snapshot of counters over all processes."""
        forget_received()
        return Statistics(**self._statistics())

    # -- ending -----------------------------------------------------------------------------------

    def close(self) -> None:
        """Say that this process will put and get no more; idempotent. Other processes are not concerned."""
        forget_received()
        self._mark_closed()

    def join_thread(self) -> None:
        """Return at once: what was put is in shared memory already, and there is no thread to wait for.

        Raises:
            AssertionError: `close` was not called before, as in `multiprocessing`.
        """
        assert self._is_closed, f"Queue {self!r} not closed"

    def cancel_join_thread(self) -> None:
        """Do nothing: leaving a process never waits for a reader, and never loses what was put."""

    def _terminate_broken(self) -> None:
        # Called by concurrent.futures (3.12 and later) when its pool is broken.
        self.close()

    # -- what multiprocessing's own code uses ---------------------------------------------------------

    @staticmethod
    def _on_queue_feeder_error(e: Exception, obj: object) -> None:
        """Override to be told of items that cannot be pickled, instead of `put` raising."""

    _raise_in_put = _on_queue_feeder_error

    @property
    def _closed(self) -> bool:
        return self._is_closed

    @property
    def _maxsize(self) -> int:
        return self._segment.max_items or _NO_BOUND

    @property
    def _reader(self) -> Reader:
        end = self.__dict__.get("_reader_end")
        if end is None:
            end = self.__dict__["_reader_end"] = Reader(self._segment)
        return end

    @property
    def _writer(self) -> Writer:
        end = self.__dict__.get("_writer_end")
        if end is None:
            end = self.__dict__["_writer_end"] = Writer(self._segment)
        return end

    # -- pickling ---------------------------------------------------------------------------------

    def __getstate__(self) -> tuple[Any, ...]:
        return (reference_to(self._segment),)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        reference: Reference = state[0]
        self._attach(reference.open())

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return copyreg.__newobj__, (type(self),), self.__getstate__()  # type: ignore[attr-defined]
