"""The compiled core. Private: `conveyor.Queue` and its kin are the public face."""

from collections.abc import Callable, Iterable, Iterator, MutableMapping, MutableSequence
from types import TracebackType
from typing import Any, Generic, Literal, Self, SupportsIndex, TypeAlias, TypeVar, overload

from .codecs import Codec

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")

class WaitNote:
    """As long as it lives, this thread is seen to wait for an item, since then by `time.monotonic`."""

    def __init__(self, segment: Segment, since: float) -> None: ...

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
        counts_lent: bool = False,
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
    def attach_from_outside(memory_fd: int) -> Segment:
        """Takes the descriptor over. For one to whom nobody handed the queue."""

    @staticmethod
    def find_or_attach(
        identity: tuple[int, int], owner: int, memory_fd: int, ready_fd: int
    ) -> Segment | None: ...
    def set_label(self, name: str, place: str) -> None: ...
    @property
    def label(self) -> str: ...
    @property
    def identity(self) -> tuple[int, int]: ...
    @property
    def has_put(self) -> bool: ...
    @property
    def is_of_pipe(self) -> bool:
        """Whether it is one direction of a Pipe: only those that have its connections can use it."""

    @property
    def counts_tasks(self) -> bool: ...
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
    def create_file(path: str, kind: str, size: int, layout: int = 1) -> Region: ...
    @staticmethod
    def open_file(path: str, kind: str, layout: int = 1) -> Region: ...
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
    def path(self) -> str: ...
    @property
    def was_alone(self) -> bool: ...
    def let_others_in(self) -> None: ...
    def flush(self) -> None: ...
    def set_label(self, name: str, place: str) -> None: ...
    @property
    def label(self) -> str: ...
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

class LockBase:
    """What `conveyor.Lock` stands on."""

    def __init__(self, region: Region = ..., offset: int = 0) -> None: ...
    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        """Take the lock; False if that could not be done at once (`block=False`) or within `timeout` seconds.

        When the process that holds it dies, a waiter gets it within a second, and `recovered` is True then.
        """
    def release(self) -> None:
        """Give the lock up. Any process and thread may do so.

        Raises:
            ValueError: nobody holds it.
        """
    def locked(self) -> bool:
        """Whether somebody holds it; out of date at once."""
    @property
    def recovered(self) -> bool:
        """Whether the last acquire through this handle took the lock from a process that died holding it.

        What the lock guards may then be half-changed.
        """
    @property
    def _holder(self) -> int: ...
    @property
    def _depth(self) -> int: ...
    @property
    def _region(self) -> Region: ...
    @property
    def _offset(self) -> int: ...
    def _is_mine(self) -> bool: ...
    def _give_up(self) -> int: ...
    def _take_back(self, depth: int, /) -> None: ...
    def __enter__(self) -> bool: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...

class RLockBase(LockBase):
    """What `conveyor.RLock` stands on."""

    def release(self) -> None:
        """Give the lock up once; it is free when it was given up as often as it was taken.

        Raises:
            AssertionError: this thread does not hold it.
        """

class SemaphoreBase:
    """What `conveyor.Semaphore` stands on."""

    @overload
    def __init__(self, value: int, bound: int) -> None: ...
    @overload
    def __init__(self, region: Region, offset: int) -> None: ...
    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        """Take a unit; False if there was none at once (`block=False`) or within `timeout` seconds."""
    def release(self, n: int = 1) -> None:
        """Give `n` units back, and let as many of those that wait go on.

        Raises:
            ValueError: n is below 1; or the semaphore is bounded, and would have more than in the beginning.
        """
    def get_value(self) -> int:
        """Units that are free; out of date at once."""
    @property
    def recovered(self) -> bool:
        """Whether the last `acquire` through this handle had to give back what a dead process held."""
    @property
    def _bound(self) -> int: ...
    @property
    def _region(self) -> Region: ...
    @property
    def _offset(self) -> int: ...
    def __enter__(self) -> bool: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...

class EventBase:
    """What `conveyor.Event` stands on."""

    @overload
    def __init__(self) -> None: ...
    @overload
    def __init__(self, region: Region, offset: int) -> None: ...
    def is_set(self) -> bool:
        """Whether it is set."""
    def set(self) -> None:
        """Set it: all that wait go on, even if it is cleared at once."""
    def clear(self) -> None:
        """Unset it."""
    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set; False if it was not within `timeout` seconds."""
    @property
    def _region(self) -> Region: ...
    @property
    def _offset(self) -> int: ...

class ConditionBase:
    @overload
    def __init__(self) -> None: ...
    @overload
    def __init__(self, region: Region, offset: int) -> None: ...
    def _wait(self, lock: Any, ours: bool, timeout: float | None) -> bool: ...
    def _notify(self, n: int) -> None: ...
    @property
    def _waiting(self) -> int: ...
    @property
    def _region(self) -> Region: ...
    @property
    def _offset(self) -> int: ...

class BarrierBase:
    @overload
    def __init__(self, parties: int) -> None: ...
    @overload
    def __init__(self, region: Region, offset: int) -> None: ...
    def _wait(self, timeout: float | None, action: Callable[[], object] | None) -> int | None: ...
    def abort(self) -> None: ...
    def reset(self) -> None: ...
    @property
    def parties(self) -> int: ...
    @property
    def n_waiting(self) -> int: ...
    @property
    def broken(self) -> bool: ...
    @property
    def _region(self) -> Region: ...
    @property
    def _offset(self) -> int: ...

class NumberBase:
    @overload
    def __init__(self, code: str) -> None: ...
    @overload
    def __init__(self, code: str, region: Region, offset: int) -> None: ...
    @property
    def value(self) -> Any: ...
    @value.setter
    def value(self, value: Any) -> None: ...
    def add(self, amount: Any = 1) -> Any: ...
    def exchange(self, value: Any) -> Any: ...
    def compare_exchange(self, expected: Any, value: Any) -> bool: ...
    def _announce(self) -> int: ...
    def _sleep(self, epoch: int, until: float) -> bool: ...
    def _notify(self) -> None: ...
    @property
    def _code(self) -> str: ...
    @property
    def _lock_offset(self) -> int: ...
    @property
    def _region(self) -> Region: ...
    @property
    def _offset(self) -> int: ...

class RecordBase:
    @overload
    def __init__(self, size: int) -> None: ...
    @overload
    def __init__(self, size: int, region: Region, offset: int) -> None: ...
    def _load(self, code: str, at: int) -> Any: ...
    def _add(self, code: str, at: int, amount: Any) -> Any: ...
    def _exchange(self, code: str, at: int, value: Any) -> Any: ...
    def _compare_exchange(self, code: str, at: int, expected: Any, value: Any) -> bool: ...
    def _announce(self) -> int: ...
    def _sleep(self, epoch: int, until: float) -> bool: ...
    def _notify(self) -> None: ...
    @property
    def _lock_offset(self) -> int: ...
    @property
    def _region(self) -> Region: ...
    @property
    def _offset(self) -> int: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...

class HeldClaim:
    """The sole right to change a key of a shared dict, from `_claim` on until it is settled or dropped."""

    def __init__(self, table: DictTable[Any, Any], key: Any) -> None: ...
    @property
    def is_held(self) -> bool: ...
    def give_back(self) -> None: ...

class DictTable(MutableMapping[K, V]):
    """A dict in a region of the kind `dict`; `max_bytes` 0: no bound."""

    def __init__(self, region: Region, codec: str | Codec, max_bytes: int) -> None: ...
    @property
    def _region(self) -> Region: ...
    @property
    def _max_bytes(self) -> int: ...
    def _figures(self) -> tuple[int, int, int]: ...
    def _wait_changed(self, version: int, timeout: float | None) -> bool: ...
    def _check(self) -> str: ...
    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[K]: ...
    def __getitem__(self, key: K, /) -> V: ...
    def __setitem__(self, key: K, value: V, /) -> None: ...
    def __delitem__(self, key: K, /) -> None: ...
    def __contains__(self, key: object, /) -> bool: ...
    @overload
    def get(self, key: K, default: None = None, /) -> V | None:
        """The value of `key`, or `default`."""
    @overload
    def get(self, key: K, default: V, /) -> V: ...
    @overload
    def get(self, key: K, default: T, /) -> V | T: ...
    def setdefault(self, key: K, default: Any = None, /) -> V:
        """The value of `key`; if it has none, `default`, which is stored, in one step."""
    @overload
    def pop(self, key: K, /) -> V:
        """Remove `key` and return its value, in one step; if it is not there, `default`, or KeyError."""
    @overload
    def pop(self, key: K, default: V, /) -> V: ...
    @overload
    def pop(self, key: K, default: T, /) -> V | T: ...
    def popitem(self) -> tuple[K, V]:
        """Remove the pair that came last, and return it; KeyError when there is none."""
    def clear(self) -> None:
        """Remove everything, in one step; waits for those who are inside `update(key)`."""
    @overload
    def _snapshot(self, keys: Literal[True], values: Literal[False]) -> list[K]: ...
    @overload
    def _snapshot(self, keys: Literal[False], values: Literal[True]) -> list[V]: ...
    @overload
    def _snapshot(self, keys: Literal[True], values: Literal[True]) -> list[tuple[K, V]]: ...
    def _look(self, key: K, known: int) -> tuple[int, int, Any]: ...
    def _claim(self, key: K, timeout: float | None, claim: HeldClaim) -> bytes | None: ...
    def _decode(self, raw: bytes) -> V: ...
    def _settle_value(self, key: K, claim: HeldClaim, value: V, before: bytes | None) -> None: ...
    def _settle(self, key: K, claim: HeldClaim, removes: bool) -> None: ...

class ListSequence(MutableSequence[T]):
    """A list in a region of the kind `list`; `max_bytes` 0: no bound."""

    def __init__(self, region: Region, codec: str | Codec, max_bytes: int) -> None: ...
    @property
    def _region(self) -> Region: ...
    @property
    def _max_bytes(self) -> int: ...
    def _figures(self) -> tuple[int, int, int]: ...
    def _wait_changed(self, version: int, timeout: float | None) -> bool: ...
    def _check(self) -> str: ...
    def __len__(self) -> int: ...
    @overload
    def __getitem__(self, index: SupportsIndex, /) -> T: ...
    @overload
    def __getitem__(self, index: slice, /) -> list[T]: ...
    @overload
    def __setitem__(self, index: SupportsIndex, value: T, /) -> None: ...
    @overload
    def __setitem__(self, index: slice, value: Iterable[T], /) -> None: ...
    def __delitem__(self, index: SupportsIndex | slice, /) -> None: ...
    def append(self, value: T, /) -> None:
        """Put an item at the end."""
    def insert(self, index: SupportsIndex, value: T, /) -> None:
        """Put an item before the one at `index`."""
    def pop(self, index: SupportsIndex = -1, /) -> T:
        """Remove the item at `index` and return it, in one step; IndexError when there is none."""
    def clear(self) -> None:
        """Remove everything, in one step."""
    def reverse(self) -> None:
        """Turn the order round, in one step."""
    def _extend(self, items: list[T]) -> None: ...
    def _snapshot(self) -> tuple[list[T], int]: ...
    def _remove_at(self, index: int, version: int) -> bool: ...
    def _reorder(self, order: list[int], version: int) -> bool: ...

def region_size() -> int: ...
def canonical_key(key: Any) -> bytes: ...

class Memory:
    """Bytes in a queue's memory that this process holds; writable by the buffer protocol."""

    def __len__(self) -> int: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...

class ForeignBytes:
    """Bytes at an address in this process, by the buffer protocol; writable.

    Args:
        address: where they begin.
        size: in bytes.
        owner: who keeps them there while it lives.
    """

    def __init__(self, address: int, size: int, owner: Any) -> None: ...
    def __len__(self) -> int: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...

class PipeEnd:
    """The descriptor of one end of a pipe, closed when no call is in it any more."""

    def __init__(self, fd: int) -> None: ...
    def close(self) -> None: ...

class Channel:
    """One end of a queue: Python objects in and out of a segment."""

    def __init__(self, segment: Segment, codec: str | Codec = "auto") -> None: ...
    @property
    def _segment(self) -> Segment: ...
    @property
    def _has_memory(self) -> bool: ...
    @property
    def _is_held(self) -> bool: ...
    @property
    def _passed_on(self) -> bool: ...
    @property
    def _is_closed(self) -> bool: ...
    def _mark_closed(self) -> None: ...
    def _let_go(self, with_items: bool = False) -> None: ...
    @property
    def _has_put(self) -> bool: ...
    @property
    def _max_items(self) -> int: ...
    @property
    def _max_bytes(self) -> int: ...
    def _use_pipe(self, end: PipeEnd) -> None: ...
    def _wake_all(self) -> None: ...
    def _mark_open(self) -> None: ...
    def _close_end(self, writing: bool) -> None: ...
    def _watch(self) -> int: ...
    def _depth(self) -> int: ...
    def _is_empty(self) -> bool: ...
    def _is_full(self) -> bool: ...
    def _task_done(self) -> bool | None: ...
    def _use_dead_letters(self, bury: Callable[..., bool]) -> None: ...
    def _unfinished(self) -> int: ...
    def _pause(self, now: bool) -> None: ...
    @property
    def _is_paused(self) -> bool: ...
    def _shutdown(self, immediate: bool) -> None: ...
    @property
    def _is_shut_down(self) -> bool: ...
    @property
    def _identity(self) -> tuple[int, int]: ...
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

    def release(self, delay: float = 0, counted: bool = True) -> None:
        """Give the item back, to the front of the queue; this counts as a failed attempt. Idempotent.

        Args:
            delay: seconds before anybody gets it again.
            counted: whether it was an attempt; False: as if it had not been leased.

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
            Exception: the item cannot be unpickled. It is taken; nothing of it is lost: the exception has `raw` and
                `buffers` (bytes, for `pickle.loads(error.raw, buffers=error.buffers)` by somebody who can), and
                `producer_pid`, the process that put it.
        """

    def get_nowait(self) -> T:
        """`get(block=False)`."""

    def get_many(self, max_items: int = 100, timeout: float | None = None, block: bool = True) -> list[T]:
        """Take what is there, at most `max_items`; waits for the first item only.

        At the end it raises as `get` does: `ShutDown` or `ProducerLost`, never an empty list.
        Those that cannot be unpickled are left out: the exception of each, with the bytes, is raised by a later call,
        as by `get`. Only what is no `Exception` (Ctrl-C) is raised at once; its `items_received` has the others.
        """

    def peek(self, max_items: int = 1) -> list[T]:
        """The items that wait, in the order in which they will be taken, at most `max_items`; none is taken.

        They are copies, arrays too, and the queue is as it was: no attempt is counted, and others take them meanwhile.
        So what it shows is out of date at once. It does not wait: of an empty queue, ended or not, it is an empty list.

        Raises:
            ValueError: `max_items` is below 1, or the queue is closed in this process.
            CodecMismatch, CorruptSegment, OutOfMemory: as for `get`; what unpickling raises, too. `items_received` of
                the exception has the items that could be read.
        """

    def purge(self) -> int:
        """Drop what waits, and what waits for its delay; how many items that were.

        In one step: whoever takes meanwhile has got an item before or gets one that was put after. What is under lease
        stays with its holder, and waits again if it is given back. For `join` what is dropped is done.

        Raises:
            ValueError: the queue is closed in this process.
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

class EventMemory:
    """Bytes of an event in a topic's log, which this process keeps; read-only by the buffer protocol."""

    def __len__(self) -> int: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...

TOPIC_HEADER: int
TOPIC_LAYOUT: int

class TopicChannel(Generic[T]):
    """Python objects into a topic's log."""

    def __init__(self, region: Region, keep: int, copies_devices: bool = False) -> None: ...
    @property
    def _region(self) -> Region: ...
    @property
    def _keep(self) -> int: ...
    @property
    def _is_shut_down(self) -> bool: ...
    @property
    def _identity(self) -> tuple[int, int]: ...
    def _shutdown(self) -> None: ...
    def _enter_producing(self, counts: bool) -> None: ...
    def _leave_producing(self) -> None: ...
    def _expect_producers(self, n: int) -> None: ...
    def _statistics(self) -> dict[str, Any]: ...
    def _check(self, patience: float = 10.0) -> str | None: ...
    def _wait_room(self, timeout: float | None = None) -> bool: ...
    def _wait_event(self, position: int, timeout: float | None = None) -> bool: ...
    def publish(self, event: T, key: str | None = None, timeout: float | None = None) -> None:
        """Publish an event to all subscribers; it is in shared memory, visible to all, when this returns.

        It is written once, however many subscribers there are. Waits while a subscriber with
        `when_slow="block"` is `max_bytes` behind.

        Args:
            event: any object that can be pickled; it is pickled here, in the caller. A large array is copied once.
            key: words with dots between, as in "prices.eur", by which subscribers choose; at most 255 bytes.
            timeout: seconds to wait for room at most; None: for ever.

        Raises:
            queue.Full: no room, within the time; nothing was published.
            ShutDown: the topic was shut down or has ended by itself, before or while this waited.
            ItemTooLarge: the event takes more than a quarter of `max_bytes`.
            OutOfMemory: the system gives no memory for it.
            TypeError, ValueError: `key` is no key.
            Exception: whatever pickling the event raises.
        """

    def publish_many(self, events: Iterable[T], key: str | None = None, timeout: float | None = None) -> None:
        """Publish events in order, all with this key, in portions: quicker than one by one.

        Args:
            events: any iterable; it may be long, as it is published while it is iterated over.
            key, timeout: as for `publish`; the time counts for the whole call.

        Raises:
            Exception: as for `publish`, or what the iterable raises. The exception's `events_published` says how
                many events are out.
        """

class SubscriptionChannel(Generic[T]):
    """Python objects out of a topic's log."""

    def __init__(
        self,
        topic: TopicChannel[T],
        patterns: list[str],
        mode: int,
        from_: int,
        number: int,
        filter: Callable[[T], object] | None,  # noqa: A002
    ) -> None: ...
    def get(self, timeout: float | None = None) -> T:
        """The next event; waits for one.

        Args:
            timeout: seconds to wait at most; None: for ever.

        Raises:
            queue.Empty: nothing came, within the time.
            ShutDown: the topic was shut down or has ended by itself, and all its events were received.
            ProducerLost: the same, and a producer had died inside `producing()`.
            Lagged: the subscription was overrun, and is one with `when_slow="fail"`.
            ValueError: the subscription is closed.
            RuntimeError: it was made by another process, of which this is a fork.
            OutOfMemory: no memory for the event; the next call tries again.
            Exception: what unpickling the event, or the filter, raises; the event counts as received.
        """

    def get_nowait(self) -> T:
        """The next event, if one is there. As `get`, without waiting."""

    def get_many(self, max_events: int = 100, timeout: float | None = None) -> list[T]:
        """The events that are there, at most `max_events`; waits for the first one only.

        Raises:
            Exception: as for `get`. The exception's `events_received` holds those that were read before it; but before
                an event that cannot be unpickled they are returned, and the next call raises its error.
        """

    def close(self) -> None:
        """End the subscription: it holds up nobody any more. Arrays that were received stay. Idempotent.

        Calls that wait raise ValueError.
        """

    def _was_closed(self) -> None: ...
    @property
    def closed(self) -> bool: ...
    @property
    def seq(self) -> int: ...
    @property
    def missed(self) -> int: ...
    @property
    def lag(self) -> int: ...
    @property
    def _position(self) -> int: ...
    def _settle(self) -> None: ...
    def __iter__(self) -> Self: ...
    def __next__(self) -> T: ...

def _peek_region_header(memory_fd: int) -> dict[str, Any]: ...
def _peek_header(memory_fd: int) -> dict[str, Any]: ...
def _peek_topic(memory_fd: int) -> dict[str, Any]: ...
def _peek_store(memory_fd: int) -> tuple[int, int, int]: ...
def _is_alive(owner: int) -> bool: ...
def _own_owner() -> int: ...
def _is_known_by_lock() -> bool: ...
def _futex_error() -> int: ...
def _encode(obj: Any) -> bytes | None: ...
def _decode(data: bytes) -> Any: ...
def _use_dict_layout(use: bool) -> bool: ...
def _encode_instances(obj: Any) -> bytes | None: ...
def _decode_instances(data: bytes) -> Any: ...
def end_normally() -> None: ...
def call_with_tuple(call: Callable[[Any], Any], *arguments: Any) -> Any:
    """`call((*arguments,))`. No line of Python runs for it, in which a signal's handler could raise."""

class PlainCoder:
    """Plain data as bytes and back; see _native/plain.hpp.

    Args:
        refuse: called with (item, what is in the way, why); it raises.
        join: called with (item, tree, foreign); returns the bytes of all.
    """

    def __init__(
        self,
        refuse: Callable[[Any, Any, str], Any],
        join: Callable[[Any, bytes, list[Any]], bytes],
    ) -> None: ...
    def encode(self, obj: Any) -> bytes: ...
    def tree(self, obj: Any) -> tuple[bytes, list[Any] | None]: ...
    def decode(self, data: bytes | bytearray | memoryview, foreign: list[Any] | None = None) -> Any: ...

def signal_at_parents_death(number: int) -> bool: ...
def is_dumpable() -> bool: ...

Place: TypeAlias = tuple[int, int, int, int, int, int, int, int, int]

def tensor_capsule(
    buffer: Any, offset: int, code: int, bits: int, shape: tuple[int, ...], strides: tuple[int, ...] | None
) -> object:
    """A DLPack capsule of a tensor on the processor that lies in this writable buffer, and keeps it.

    Args:
        buffer: where its elements lie.
        offset: of its first element, in bytes.
        code, bits: its type, as DLPack has it.
        shape: its dimensions.
        strides: in elements, one for each dimension, none negative; None: without gaps, the last dimension innermost.

    Raises:
        ValueError: it does not lie within the buffer.
    """

def notes_of_item() -> dict[Any, Any] | None:
    """What reducers have noted about the item that this thread is pickling for a queue of ours; None: it pickles none.

    Who sets `"again"` to True has it pickled once more, with these notes.
    """

def unless_put(take_back: Callable[[], object]) -> None:
    """Have something done if the item that this thread is pickling does not get into its queue after all.

    It is done when its pickling fails or begins anew, or `put` raises. Where nobody knows whether the item is put, as
    for topics, shared state and pickles that are no items, it is not.
    """

def place_of_item() -> Literal["queue", "named", "topic", "bytes"]:
    """Where that item goes: a queue without a name, one with a name, a topic, or anywhere else, as bytes alone."""

def item_copies_devices() -> bool:
    """Whether tensors in the memory of a device go there by value (`cuda="copy"`)."""

def reading_of_item() -> Literal["once", "lease", "look"]:
    """How the item is read that this thread is unpickling.

    Once and for all; under lease, so that somebody else may read it after this; or only looked at, so that somebody
    will.
    """

def where_received(buffer: Any) -> Place | None:
    """Where these contiguous bytes lie, if in an item that was received without a copy; what `borrow` takes."""

def borrow(
    device: int,
    inode: int,
    owner: int,
    memory_fd: int,
    ready_fd: int,
    first: int,
    pages: int,
    offset: int,
    size: int,
) -> Memory | bytearray:
    """Look at bytes where another process has them; it must not let go before. A copy, if a third one looks, too.

    Raises:
        SegmentGone: that process has ended.
        CorruptSegment: they lie nowhere.
    """

# Methods in C, for classes that are written in Python.
def enter_locked(self: Any) -> Any: ...
def leave_locked(self: Any, kind: Any, error: Any, trace: Any) -> None: ...
def leave_changed(self: Any, kind: Any, error: Any, trace: Any) -> None: ...
def enter_condition(self: Any) -> bool: ...
def leave_condition(self: Any, kind: Any, error: Any, trace: Any) -> None: ...
def close_if_made(self: Any) -> None: ...
def enter_closing(self: Any) -> Any: ...
def leave_closing(self: Any, kind: Any, error: Any, trace: Any) -> None: ...
def enter_producing(self: Any) -> Any: ...
def leave_producing(self: Any, kind: Any, error: Any, trace: Any) -> None: ...
def enter_update(self: Any) -> Any: ...
def leave_update(self: Any, kind: Any, error: Any, trace: Any) -> None: ...
def init_leases(self: Any, leases: list[Any]) -> None: ...
def enter_leases(self: Any) -> list[Any]: ...
def leave_leases(self: Any, kind: Any, error: Any, trace: Any) -> None: ...
def spin_for_any(channels: list[Channel], seconds: float) -> bool:
    """Look for so long whether one of these has an item; returns whether one has."""

class Commands:
    """Runs programs, each to its end, without the GIL; for any number of threads at once.

    Args:
        environment: of the programs: `NAME=value`.
        cancel_fd: all that run are ended when this descriptor becomes readable.
        inherits_output: they write to this process's own standard output and error, and nothing is collected.
        grace: seconds from SIGTERM to SIGKILL for one that is ended.
        most_memory: bytes of one stream of a program that are kept in memory; beyond, the whole stream is spooled.
        spool_folder: where files without a name are made for that.
    """

    def __init__(
        self,
        environment: list[bytes],
        cancel_fd: int,
        inherits_output: bool,
        grace: float,
        most_memory: int,
        spool_folder: bytes,
    ) -> None: ...
    def run(
        self, path: bytes, arguments: list[bytes], timeout: float
    ) -> tuple[int, int, int, int, float, bytes, int, bytes, int]:
        """Run a program; returns what it came to.

        Args:
            path: of the program; not looked up.
            arguments: its words, its name first.
            timeout: seconds after which it is ended; 0: never.

        Returns:
            The errno if it was not started, its status as of `waitpid`, why it was ended (0: it was not, 1: timed out,
            2: cancelled), the errno if its output could not be kept, the seconds that it took; then for each stream its
            bytes, and the descriptor of a file that has them instead (-1: none), for the caller to close.
        """

class Meter:
    """Writes what this worker does into memory that its parent reads, see core/include/conveyor/worker/meter.hpp."""

    def __init__(self, memory: Any) -> None: ...
    def idle(self) -> None: ...
    def begin(self) -> None: ...
    def pause(self) -> None: ...
    def lap(self) -> int: ...
