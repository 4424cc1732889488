"""The compiled core. Private: `conveyor.Queue` and its kin are the public face."""

from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Generic, TypeVar

from .codecs import Codec

T = TypeVar("T")

class Segment:
    """The shared memory of one queue, mapped into this process."""

    @staticmethod
    def create(
        max_items: int = 0,
        max_bytes: int = 0,
        soft: bool = False,
        pipe: bool = False,
        counts_tasks: bool = False,
        max_attempts: int = 0,
        lease_seconds: float = 0.0,
    ) -> Segment: ...
    @staticmethod
    def create_named(
        name: str,
        max_items: int = 0,
        max_bytes: int = 0,
        max_attempts: int = 0,
        lease_seconds: float = 0.0,
    ) -> Segment: ...
    @staticmethod
    def open_named(name: str) -> Segment: ...
    @staticmethod
    def remove_named(name: str) -> None: ...
    @staticmethod
    def attach(memory_fd: int, ready_fd: int) -> Segment: ...
    @staticmethod
    def find_or_attach(
        identity: tuple[int, int], owner: int, memory_fd: int, ready_fd: int
    ) -> Segment | None: ...
    @property
    def identity(self) -> tuple[int, int]: ...
    @property
    def has_put(self) -> bool: ...
    @property
    def owner(self) -> int: ...
    @property
    def name(self) -> str: ...
    @property
    def memory_fd(self) -> int: ...
    @property
    def ready_fd(self) -> int: ...
    @property
    def max_items(self) -> int: ...
    @property
    def max_bytes(self) -> int: ...
    @property
    def exports(self) -> int: ...
    def export_begin(self) -> None: ...
    def export_end(self) -> None: ...

class Region:
    """Shared memory that is no queue, mapped into this process; its payload by the buffer protocol.

    `kind` is `topic`, `state`, `dict`, `list` or `array`; `layout` the version of what lies in the payload. The
    payload has a fixed size, begins as zeros, and costs memory only where it was touched. Call `reserve` before you
    touch it: memory that runs out is then an exception, and else a SIGBUS.

    Raises:
        OutOfMemory: no memory, or no address space.
        WrongKind, VersionMismatch, CorruptSegment: what lies there is not what is asked for.
        OSError: FileExistsError, FileNotFoundError, PermissionError: as for files.
    """

    @staticmethod
    def create(kind: str, size: int, layout: int = 1) -> Region: ...
    @staticmethod
    def create_named(name: str, kind: str, size: int, layout: int = 1) -> Region: ...
    @staticmethod
    def open_named(name: str, kind: str, layout: int = 1) -> Region: ...
    @staticmethod
    def remove_named(name: str) -> None: ...
    @staticmethod
    def attach(memory_fd: int, kind: str, layout: int = 1) -> Region: ...
    @staticmethod
    def find_or_attach(
        identity: tuple[int, int], owner: int, memory_fd: int, kind: str, layout: int = 1
    ) -> Region | None: ...
    @property
    def kind(self) -> str: ...
    @property
    def layout(self) -> int: ...
    @property
    def size(self) -> int: ...
    @property
    def name(self) -> str: ...
    @property
    def identity(self) -> tuple[int, int]: ...
    @property
    def owner(self) -> int: ...
    @property
    def memory_fd(self) -> int: ...
    @property
    def memory_held(self) -> int: ...
    @property
    def exports(self) -> int: ...
    def reserve(self, offset: int, size: int) -> None: ...
    def give_back(self, offset: int, size: int) -> None: ...
    def export_begin(self) -> None: ...
    def export_end(self) -> None: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...

class Memory:
    """Bytes in a queue's memory that this process holds; writable by the buffer protocol."""

    def __len__(self) -> int: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...

class Channel:
    """One end of a queue: Python objects in and out of a segment."""

    def __init__(self, segment: Segment, codec: str | Codec = "auto") -> None: ...
    @property
    def _segment(self) -> Segment: ...
    @property
    def _is_closed(self) -> bool: ...
    def _mark_closed(self) -> None: ...
    def _use_pipe(self, fd: int) -> None: ...
    def _watch(self) -> int: ...
    def _depth(self) -> int: ...
    def _is_empty(self) -> bool: ...
    def _is_full(self) -> bool: ...
    def _task_done(self) -> bool: ...
    def _use_dead_letters(self, bury: Callable[[Any, int, str, int], bool]) -> None: ...
    def _unfinished(self) -> int: ...
    def _shutdown(self, immediate: bool) -> None: ...
    @property
    def _is_shut_down(self) -> bool: ...
    def _enter_producing(self, counts: bool) -> None: ...
    def _leave_producing(self) -> None: ...
    def _expect_producers(self, n: int) -> None: ...
    @property
    def _must_look(self) -> bool: ...
    def _look_for_lost(self) -> bool: ...
    def _statistics(self) -> dict[str, Any]: ...
    def _check(self, patience: float = 10.0) -> str | None: ...
    def _put_object(self, item: Any) -> None: ...
    def _put_bytes(
        self, data: bytes | bytearray | memoryview, block: bool = True, timeout: float | None = None
    ) -> None: ...
    def _allocate(self, size: int) -> Memory: ...
    def _get_object(self) -> Any: ...
    def _take_each(self, max_items: int, unreadable: Callable[[Exception], Any]) -> list[Any]: ...
    def _get_bytes(self, block: bool = True, timeout: float | None = None) -> bytes: ...
    def _wait_item(self, timeout: float | None = None) -> bool: ...
    def _wait_room(self, needed: int, timeout: float | None = None) -> bool: ...
    def _wait_tasks(self, timeout: float | None = None) -> bool: ...

class Lease(Generic[T]):
    """An item that goes back to its queue unless it is acknowledged: what `Queue.lease` returns.

    As a context manager it gives the item, acknowledges it when the block is left, and gives it back when the
    block is left by an exception. Dropped, it gives the item back.
    """

    @property
    def item(self) -> T: ...
    @property
    def attempts(self) -> int: ...
    def acknowledge(self) -> None:
        """Say that the item is dealt with: nobody will get it again. Idempotent.

        Raises:
            LeaseLost: it went back before; somebody else may have it, or have dealt with it.
        """

    def release(self, delay: float = 0) -> None:
        """Give the item back, to the front of the queue; this counts as a failed attempt. Idempotent.

        Args:
            delay: seconds before anybody gets it again.

        Raises:
            LeaseLost: it was acknowledged, rejected, or went back by itself before.
        """

    def reject(self, reason: object = None) -> None:
        """Give the item up, however often it was tried: it goes to the dead letters. Idempotent.

        Args:
            reason: an exception or a text, for `DeadLetter.error`.

        Raises:
            LeaseLost: it was acknowledged, given back, or went back by itself before.
        """

    def __enter__(self) -> T: ...
    def __exit__(
        self,
        type_: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None: ...

class QueueChannel(Channel, Generic[T]):
    def put(self, obj: T, block: bool = True, timeout: float | None = None) -> None:
        """Put an item; it is in shared memory, visible to all processes, when this returns.

        Args:
            obj: any object that can be pickled; it is pickled here, in the caller.
            block: wait for room if a bound is reached.
            timeout: seconds to wait at most, the whole call; None: for ever.

        Raises:
            queue.Full: no room, within the time.
            ShutDown: the queue was shut down, before or while this waited.
            ValueError: the queue is closed in this process.
            ItemTooLarge: the item is larger than `max_bytes`.
            OutOfMemory: the system gives no memory for it. The queue is as before.
        """

    def put_nowait(self, obj: T) -> None:
        """`put(obj, block=False)`."""

    def put_many(self, items: Iterable[T], block: bool = True, timeout: float | None = None) -> None:
        """Put items, in order, under one lock and with one wake-up as far as there is room.

        An item that cannot be pickled raises before any is put. When the time runs out, there is no
        memory or the queue is shut down meanwhile, the exception's `items_put` says how many are in.
        """

    def get(self, block: bool = True, timeout: float | None = None) -> T:
        """Take an item, for good: at most once.

        If this process dies before it has dealt with the item, the item is lost. `lease` is the way to get
        it back.

        Args:
            block: wait for an item if there is none.
            timeout: seconds to wait at most, the whole call; None: for ever.

        Raises:
            queue.Empty: nothing to take, within the time.
            ShutDown: the queue was shut down and has no more items.
            ProducerLost: the same, and a producer had died inside `producing()`.
            ValueError: the queue is closed in this process.
            CorruptSegment: the shared memory is damaged.
        """

    def get_nowait(self) -> T:
        """`get(block=False)`."""

    def get_many(self, max_items: int = 100, timeout: float | None = None, block: bool = True) -> list[T]:
        """Take what is there, at most `max_items`; waits for the first item only.

        At the end it raises as `get` does: `ShutDown` or `ProducerLost`, never an empty list.
        If one cannot be unpickled, that exception is raised and its `items_received` has the others.
        """

    def lease(self, timeout: float | None = None, lease_seconds: float | None = None) -> Lease[T]:
        """Take an item that comes back unless it is acknowledged: at least once.

            with queue.lease() as item:
                work(item)

        It is acknowledged when the block is left. It goes back to the front of the queue, with one more attempt
        counted, when the block is left by an exception, on `Lease.release`, when the lease is over, and within a
        second when this process dies. Arrays in the item are copies.

        Args:
            timeout: seconds to wait for an item at most; None: for ever.
            lease_seconds: for how long it is leased; None: as the queue has it, which is for ever by default.
                Others get it up to half a second later.

        Raises:
            queue.Empty: nothing to take, within the time.
            ValueError: the queue is closed in this process.
            TooManyLeases: 65,536 items are leased already.
            CorruptSegment: the shared memory is damaged.
        """

    def _lease_many(
        self, max_items: int, timeout: float | None = None, lease_seconds: float | None = None
    ) -> list[Lease[T]]: ...

class SimpleChannel(Channel, Generic[T]):
    def put(self, obj: T) -> None:
        """Put an item; waits for room. Raises `ShutDown` once the queue is shut down."""

    def get(self) -> T:
        """Take an item; waits for one. Raises `ShutDown` or `ProducerLost` at the queue's end."""

def _region_glance(memory_fd: int) -> dict[str, Any]: ...
def _glance(memory_fd: int) -> dict[str, Any]: ...
def _is_alive(owner: int) -> bool: ...
def _futex_error() -> int: ...
def _encode(obj: Any) -> bytes | None: ...
def _decode(data: bytes) -> Any: ...
def signal_at_parents_death(number: int) -> bool: ...

class Meter:
    """Writes what this worker does into memory that its parent reads, see core/include/conveyor/meter.hpp."""

    def __init__(self, memory: Any) -> None: ...
    def idle(self) -> None: ...
    def begin(self) -> None: ...
    def lap(self) -> int: ...
