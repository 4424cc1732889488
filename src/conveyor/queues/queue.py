"""Queue: `multiprocessing.Queue`, in shared memory."""

from __future__ import annotations

import copyreg
import functools
import operator
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from .._memory.arrays import array_in
from .._memory.assignable import assignable
from .._memory.labels import checked_label, mark
from .._memory.producing import Producing
from .._memory.references import Reference, forget_received, reference_to
from .._native import Segment
from .._public import public
from ..errors import Full, ItemTooLarge, ShutDown
from ._asyncio import AwaitableChannel
from ._ends import NoLock, Reader, Writer
from ._options import checked_bounds, checked_codec, checked_lease
from .data_loader import follow as follow_data_loaders
from .leases import Leases

if TYPE_CHECKING:
    from multiprocessing.context import BaseContext

    import torch
    from numpy.typing import DTypeLike, NDArray

    from .._memory.devices import Cuda
    from ..codecs import Codec
    from .statistics import Statistics

__all__ = ["Queue"]

T = TypeVar("T")

_TORCHS_LOADER = "torch.utils.data"
# In bytes. To copy fewer costs less than pages of their own.
_LEAST_ALLOCATED = 16 * 1024

# What multiprocessing reports as the bound of an unbounded queue on Linux (its SEM_VALUE_MAX).
_NO_BOUND = 2**31 - 1


def _bury(
    make: Any,
    dead_letters: Any,
    item: Any,
    attempts: int,
    error: str,
    pid: int,
    raw: bytes | None,
    buffers: list[bytes] | None,
    producer_pid: int,
) -> bool:
    letter = make(item, attempts, error, pid, raw, tuple(buffers or ()), producer_pid or None)
    try:
        dead_letters.put(letter, block=False)
    except Full:
        return False
    return True


@public
class Queue(AwaitableChannel[T]):
    """A first-in first-out queue between any number of processes and threads.

    A drop-in for `multiprocessing.Queue`: the same methods, arguments and exceptions. What differs is
    for the better: `put` pickles in the caller, so errors are raised there, and when it returns, the
    item is in shared memory, visible to all, whatever becomes of this process. A process may be
    killed at any moment without harm to the others. No thread, no semaphore and no file is left behind.

    Large arrays are copied once, by the producer, and lie in the receiver's hands where the producer wrote
    them; `allocate` saves that copy, too.

    Args:
        maxsize: items that may wait before `put` blocks; 0 or less: no bound.
        ctx: accepted as by `multiprocessing.queues.Queue`; any start method will do.
        max_bytes: bytes of pickled items that may wait before `put` blocks, together with those of
            received arrays that are still in use; None: no bound. An item that is larger than that
            raises `ItemTooLarge`. Into an empty queue one item may always be put.
        codec: how items become bytes: "auto" for anything that can be pickled, "pickle", "msgpack",
            "json", "arrow", "raw", or an object with `name`, `dumps` and `loads` (`conveyor.codecs.Codec`).
            It travels with the queue to other processes.
        lease_seconds: for how long `lease` leases an item, unless it says otherwise; None: for ever.
        max_attempts: how often an item may fail under lease before it is given up; None: no bound.
        dead_letters: a queue for what is given up, as `DeadLetter`s. Without one it stays where it is, and
            `statistics().dead` counts it. These three, too, travel with the queue.
        label: what those who look from outside (`conveyor ls`, `conveyor top`) call it, at most 63 bytes; None: they
            call it by the line that made it.
        cuda: how tensors on a GPU (or another device of torch's) travel: "copy": through host memory, to their device
            again; "share": by torch's handle, which can be had once, while the sender lives; None: what `install` was
            told, else "share". It travels with the queue. See docs/torch.md.

    Raises:
        ValueError, TypeError: an argument is not as above; the text says what would be right.
        ImportError: the codec needs a package that is not installed.
        OutOfMemory: the system has no memory or address space for a queue.
    """

    def __init__(
        self,
        maxsize: int = 0,
        *,
        ctx: BaseContext | None = None,
        max_bytes: int | None = None,
        codec: str | Codec = "auto",
        lease_seconds: float | None = None,
        max_attempts: int | None = None,
        dead_letters: Any = None,
        label: str | None = None,
        cuda: Cuda | None = None,
    ) -> None:
        forget_received()
        if _TORCHS_LOADER in sys.modules:
            follow_data_loaders()
        label = checked_label(label)
        items, size = checked_bounds(maxsize, max_bytes)
        attempts, seconds = checked_lease(lease_seconds, max_attempts)
        codec = checked_codec(codec, cuda)
        segment = Segment.create(
            items,
            size,
            counts_tasks=self._counts_tasks,
            max_attempts=attempts,
            lease_seconds=seconds,
        )
        self._attach(mark(segment, label), codec, dead_letters)

    _counts_tasks = False

    def _attach(self, segment: Segment, codec: str | Codec, dead_letters: Any = None) -> None:
        super().__init__(segment, codec)
        for end in ("_reader", "_writer", "_maxsize"):  # of another segment, or assigned before this
            self.__dict__.pop(end, None)
        self._codec = codec
        self._dead_letters = dead_letters
        if dead_letters is not None:
            if not callable(getattr(dead_letters, "put", None)):
                raise TypeError(f"dead_letters is {dead_letters!r}; it must be a queue, or None")
            from .dead_letter import DeadLetter  # now: in the midst of an import nobody can be given one

            self._use_dead_letters(functools.partial(_bury, DeadLetter, dead_letters))
        # The names that the standard library's own code looks for.
        self._ignore_epipe = False
        self._rlock = NoLock()
        self._wlock = NoLock()

    @classmethod
    def on_segment(cls, segment: Segment, codec: str | Codec, dead_letters: Any = None) -> Queue[Any]:
        """A queue on shared memory that exists already; for the transports."""
        self: Queue[Any] = cls.__new__(cls)
        self._attach(segment, codec, dead_letters)
        return self

    def lease_many(
        self, max_items: int = 100, timeout: float | None = None, lease_seconds: float | None = None
    ) -> Leases[T]:
        """Take what is there under lease, at most `max_items`; waits for the first item only.

            with queue.lease_many(100) as items:
                store(items)

        Leaving the block acknowledges them all, an exception gives them all back; each can be settled by itself
        before. See `lease`, also for the arguments and errors.
        """
        return Leases(self._lease_many(max_items, timeout, lease_seconds))

    # -- memory to be filled in place ------------------------------------------------------------------

    def allocate(self, shape: int | Sequence[int], dtype: DTypeLike = float) -> NDArray[Any]:
        """A NumPy array in the queue's memory: fill it, `put` it, and nothing is copied.

        From the put on it belongs to the process that takes the item; writing to it then changes what that sees.
        It can be put once, alone or inside an item, whole. Never put, its memory goes back when it is
        collected. One of less than 16 KiB lies in memory of this process, since copying it costs less.

        Args:
            shape: as for `numpy.empty`. The content is arbitrary.
            dtype: any type without Python objects.

        Raises:
            TypeError, ValueError: it is no shape, or the type has Python objects.
            ItemTooLarge: it could never be put, because of `max_bytes`.
            OutOfMemory: the system gives no memory for it.
            Full: a process that was stopped inside put or get has held up the queue's memory for a second.
            ImportError: NumPy is not installed.
        """
        return array_in(self._memory, shape, dtype)

    def allocate_bytes(self, size: int) -> memoryview:
        """The same as plain bytes, writable; the receiver gets a memoryview.

        Args:
            size: bytes.

        Raises:
            ValueError: `size` is negative.
            ItemTooLarge, OutOfMemory: as for `allocate`.
        """
        size = operator.index(size)
        if size < 0:
            raise ValueError(f"size is {size}; it must be at least 0")
        memory = self._memory(size)
        return memoryview(bytearray(size) if memory is None else memory)

    def allocate_tensor(self, shape: int | Sequence[int], dtype: torch.dtype | None = None) -> torch.Tensor:
        """A tensor of torch's in the queue's memory: fill it, `put` it, and nothing is copied. See `allocate`.

        Args:
            shape: as for `torch.empty`. The content is arbitrary.
            dtype: its type; None: torch's default.

        Raises:
            TypeError, ValueError: it is no shape, or no type of torch's.
            ItemTooLarge, OutOfMemory, Full: as for `allocate`.
            ImportError: torch is not installed.
        """
        from .._memory.tensors import empty

        tensor: torch.Tensor = empty(self._memory, shape, dtype)
        return tensor

    def _memory(self, size: int) -> Any:
        if self._is_closed:
            raise ValueError(f"Queue {self!r} is closed")
        bound = self._max_bytes
        if bound and size > bound:
            raise ItemTooLarge(
                f"{size} bytes can never be put: max_bytes is {bound}; raise max_bytes or send smaller items"
            )
        return None if size < _LEAST_ALLOCATED else self._allocate(size)

    # -- state ------------------------------------------------------------------------------------

    def qsize(self) -> int:
        """How many items wait now. Exact, and right at once after a `put` or `get` anywhere.

        After `close`, too, as long as another process has the queue; what waits goes with the last one.
        """
        seen = self._seen_elsewhere()
        depth: int = self._depth() if seen is None else seen["waiting"]
        return depth

    def empty(self) -> bool:
        """Whether no item waits now.

        Raises:
            OSError: the queue was used and then closed by this process.
        """
        if self._is_closed and self._has_put:
            raise OSError(f"Queue {self!r} is closed")
        seen = self._seen_elsewhere()
        return self._is_empty() if seen is None else not seen["waiting"]

    def full(self) -> bool:
        """Whether a bound is reached now. After `close` as `qsize`."""
        seen = self._seen_elsewhere()
        if seen is None:
            return self._is_full()
        items, size = seen["max_items"], seen["max_bytes"]
        return bool(items and seen["waiting"] >= items) or bool(size and seen["bytes"] >= size)

    def _seen_elsewhere(self) -> dict[str, Any] | None:
        if not self._is_closed or self._has_memory:
            return None
        from ._afterwards import look_elsewhere

        return look_elsewhere(self._identity)

    def statistics(self) -> Statistics:
        """A snapshot of counters over all processes."""
        forget_received()
        from .statistics import Statistics

        return Statistics(**self._statistics())

    # -- holding consumers back ------------------------------------------------------------------------

    def pause(self) -> None:
        """Hold the consumers back, in all processes, until `resume`: to `get` and `lease` the queue looks empty.

        Puts go on, and what is under lease can be settled. A get that is under way may still take what it takes. The
        queue stays paused also when the process that paused it has ended; it ends by `shutdown` as ever, but only
        once it was resumed and drained, unless that is immediate.
        """
        self._pause(True)

    def resume(self) -> None:
        """Undo `pause`; idempotent. Whoever waits for an item wakes."""
        self._pause(False)

    @property
    def is_paused(self) -> bool:
        """Whether consumers are held back by `pause`."""
        return self._is_paused

    # -- ending, for all processes ----------------------------------------------------------------------

    def shutdown(self, immediate: bool = False) -> None:
        """Shut the queue down for all processes, as Python 3.13's `queue.Queue.shutdown` does for threads.

        From now on `put` raises `ShutDown`; `get` does once the queue is empty. Who is blocked in either
        wakes at once, in every process. It cannot be undone; a named queue stays shut down until it is
        removed.

        Args:
            immediate: also drop what waits in the queue, and count it as done for `join`.
        """
        self._shutdown(immediate)

    @property
    def is_shutdown(self) -> bool:
        """Whether the queue was shut down, or has ended by itself."""
        return self._is_shut_down

    def __iter__(self) -> Iterator[T]:
        """Take items until the queue is shut down and empty; others may do the same at the same time."""
        while True:
            try:
                item = self.get()
            except ShutDown:
                return
            yield item

    __contains__ = None  # `item in queue` would take items

    def producing(self) -> Producing[Queue[T]]:
        """A block that counts as a producer: when the last one is left, the queue shuts down by itself.

        `with queue.producing(): ...` may be entered by any number of processes and threads, and more than
        once. Say `expect_producers` before, so that the first to leave does not end the queue before the
        others have come. A process that dies inside is noticed within a second: it counts as having left,
        but when the queue is drained, `get` and iteration raise `ProducerLost` in the place of `ShutDown`.
        A block that is left by an exception is left.

        Raises (on entering):
            ShutDown: the queue has ended already.
            ConveyorError: 65,536 processes are inside.
            OutOfMemory: the system has no memory for another.
        """
        return Producing(self)

    def expect_producers(self, n: int) -> None:
        """Say how many `producing()` blocks must still be entered before the queue may end by itself.

        A block within another one of the same thread (asyncio task) is not one more. When none is
        expected and nobody is inside, the queue shuts down at once. A producer that dies before it has
        entered stays expected: only the program can know, and say again how many will come.

        Args:
            n: 0 or more; it takes the place of what was said before.

        Raises:
            ShutDown: the queue has ended already.
        """
        self._expect_producers(n)

    # -- ending, for this process -----------------------------------------------------------------------

    def close(self) -> None:
        """Say that this process will put and get no more; idempotent. Other processes are not concerned.

        Its memory and descriptors here are given back: at once, unless a call in another thread, a lease, an array that
        was received, `producing()` or another handle still needs them, or something waits in it and no other process
        has it: then they go with this object.
        """
        forget_received()
        self._mark_closed()
        for end in ("_reader", "_writer"):
            if isinstance(self.__dict__.get(end), Reader | Writer):
                del self.__dict__[end]
        self._part()

    def _part(self) -> None:
        # What waits is not to be lost: if nobody else has it, this one may still be handed on.
        others = False
        if self._passed_on and self._is_held and self._depth():
            from ._afterwards import held_elsewhere

            others = held_elsewhere(self._identity)
        self._let_go(with_items=others)

    def join_thread(self) -> None:
        """Return at once: what was put is in shared memory already, and there is no thread to wait for.

        Raises:
            AssertionError: `close` was not called before, as in `multiprocessing`.
        """
        assert self._is_closed, f"Queue {self!r} not closed"
        self._part()

    def cancel_join_thread(self) -> None:
        """Do nothing: leaving a process never waits for a reader, and never loses what was put."""

    def _terminate_broken(self) -> None:
        # Called by concurrent.futures (3.12 and later) when its pool is broken.
        self.close()

    # -- what multiprocessing's own code uses ---------------------------------------------------------

    @staticmethod
    def _on_queue_feeder_error(e: Exception, obj: object) -> None:
        """Override to be called with items that cannot be pickled, instead of `put` raising."""

    _raise_in_put = _on_queue_feeder_error

    # Plain attributes there, so a subclass may assign them. What it assigns is the object's from then on.

    @property
    def _closed(self) -> bool:
        return self._is_closed

    @_closed.setter
    def _closed(self, closed: bool) -> None:
        with suppress(ValueError):  # before `super().__init__()`, which opens it
            self._mark_closed() if closed else self._mark_open()

    @assignable
    def _maxsize(self) -> int:
        return self._max_items or _NO_BOUND

    @assignable
    def _reader(self) -> Reader:
        if self._is_closed and not self._has_memory:
            return Reader(None)
        end: Reader = self.__dict__.setdefault("_reader", Reader(self._segment, self._codec))
        return end

    @assignable
    def _writer(self) -> Writer:
        if self._is_closed and not self._has_memory:
            return Writer(None)
        end: Writer = self.__dict__.setdefault("_writer", Writer(self._segment, self._codec))
        return end

    # -- pickling ---------------------------------------------------------------------------------

    def __getstate__(self) -> tuple[Any, ...]:
        return (reference_to(self._segment), self._codec, self._dead_letters)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        reference: Reference = state[0]
        self._attach(reference.open(), state[1], state[2])

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return copyreg.__newobj__, (type(self),), self.__getstate__()  # type: ignore[attr-defined]
