"""SimpleQueue: `multiprocessing.SimpleQueue`, in shared memory."""

from __future__ import annotations

import copyreg
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from .._memory.labels import mark
from .._memory.producing import Producing
from .._memory.references import Reference, forget_received, reference_to
from .._native import Segment, SimpleChannel
from .._public import public
from ..errors import ShutDown
from ._ends import NoLock, Reader, Writer
from ._options import checked_codec

if TYPE_CHECKING:
    from multiprocessing.context import BaseContext

    from .._memory.devices import Cuda
    from ..codecs import Codec
    from .statistics import Statistics

__all__ = ["SimpleQueue"]

T = TypeVar("T")

# multiprocessing's blocks when its pipe (64 KiB) is full, and programs rely on being slowed down.
# An item larger than this passes when nothing else waits.
_BOUND_BYTES = 1 << 20


@public
class SimpleQueue(SimpleChannel[T]):
    """A drop-in for `multiprocessing.SimpleQueue`: `put`, `get`, `empty` and `close`.

    `put` blocks while 1 MiB of pickled items waits (multiprocessing's pipe holds 64 KiB).

    Args:
        ctx: accepted as by `multiprocessing.queues.SimpleQueue`; any start method will do.
        cuda: how tensors on a GPU travel, as for `Queue`.

    Raises:
        ValueError: `cuda` is not as above.
    """

    def __init__(self, *, ctx: BaseContext | None = None, cuda: Cuda | None = None) -> None:
        forget_received()
        codec = checked_codec("auto", cuda)
        self._attach(mark(Segment.create(0, _BOUND_BYTES, soft=True)), codec)

    def _attach(self, segment: Segment, codec: str | Codec) -> None:
        super().__init__(segment, codec)
        self._codec = codec
        self._reader = Reader(segment, codec)
        self._writer = Writer(segment, codec)
        self._rlock = NoLock()
        self._wlock = NoLock()

    def _poll(self, timeout: float | None = 0.0) -> bool:
        return self._reader.poll(timeout)

    def empty(self) -> bool:
        """Whether no item waits now.

        Raises:
            OSError: the queue is closed.
        """
        self._check_open()
        return self._is_empty()

    def _check_open(self) -> None:
        if self._reader.closed:
            raise OSError("handle is closed")

    def shutdown(self, immediate: bool = False) -> None:
        """Shut the queue down for all processes; as `Queue.shutdown`."""
        self._check_open()
        self._shutdown(immediate)

    @property
    def is_shutdown(self) -> bool:
        """Whether the queue was shut down, or has ended by itself."""
        return self._is_shut_down

    def __iter__(self) -> Iterator[T]:
        """Take items until the queue is shut down and empty."""
        while True:
            try:
                item = self.get()
            except ShutDown:
                return
            yield item

    __contains__ = None  # `item in queue` would take items

    def producing(self) -> Producing[SimpleQueue[T]]:
        """A block that counts as a producer; as `Queue.producing`."""
        self._check_open()
        return Producing(self)

    def expect_producers(self, n: int) -> None:
        """Say how many producers must still come; as `Queue.expect_producers`."""
        self._check_open()
        self._expect_producers(n)

    def close(self) -> None:
        """Close the queue in this process; every later call raises OSError. Idempotent.

        Its memory and descriptors here are given back, as by `Queue.close`.
        """
        forget_received()
        self._reader.close()
        self._writer.close()
        self._mark_closed()
        self._let_go(with_items=True)

    def statistics(self) -> Statistics:
        """A snapshot of counters over all processes."""
        from .statistics import Statistics

        return Statistics(**self._statistics())

    def __getstate__(self) -> tuple[Any, ...]:
        return (reference_to(self._segment), self._codec)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        reference: Reference = state[0]
        self._attach(reference.open(), state[1])

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return copyreg.__newobj__, (type(self),), self.__getstate__()  # type: ignore[attr-defined]
