"""What the processes that have a queue's file open know of each other, in shared memory beside it.

A file `<database>-conveyor-<number of the queue>`, mapped by all. It holds

- the lock of the queue: a process that writes to the database or changes anything here holds it. It outlives its
  holder, and stands in front of SQLite's own lock, whose waiters sleep without being woken and in no order;
- two event counts: who waits for an item, and who waits for room, is woken at once;
- the leases: which process has which item, and until when. An item under lease is a row like the others; that it is
  leased says only this table, so that neither leasing nor giving back writes to the disk;
- the cursor: items with higher numbers were never leased; and the heap of those with lower ones that came back;
- counters, so that nobody has to count rows.

Leases and cursor are the truth as long as anybody has the file open. All else follows from them and the database. Each
change is made between `dirty = 1` and `dirty = 0`: who finds it set, since a process was killed or an exception came
in between, computes the rest anew (`Coordination.rebuild`). When nobody has the file open any more, the next one gives
back what was leased.
"""

from __future__ import annotations

import os
import threading
from array import array
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..._native import LockBase, NumberBase, Region
from ...errors import CorruptSegment
from ..port import ConnectionLost

__all__ = ["SLOTS", "Coordination", "WriteLock"]

LAYOUT = 1001  # counted apart from that of other regions of this kind
SLOTS = 65_536

_LOCK_CELL = (1).to_bytes(4, "little") + (64).to_bytes(4, "little")  # CellType::lock, and its size
_NUMBER_CELL = (7).to_bytes(4, "little") + (128).to_bytes(4, "little")
# Offsets in bytes. Cells begin at multiples of 64.
_LOCK, _ITEMS, _ROOM, _SYNC, _WORDS = 64, 128, 256, 384, 448
_WORD_COUNT = 64
_ARRAYS = _WORDS + 8 * _WORD_COUNT
_SIZE = _ARRAYS + 5 * 8 * SLOTS
# Slots are looked through so many at a time, of which nearly all are free.
_BLOCK = 512
_ALL_FREE = bytes(8 * _BLOCK)

# Words.
(
    TOKEN,  # of the queue, as its row says
    NAMESPACE,  # of pids, of those who have the file open
    DIRTY,
    VOID,  # 1: every process that had something under lease is gone, with all the others
    NEXT,  # number of the next item
    CURSOR,
    READY,  # items that anybody may take now
    BYTES,  # of those, if there is a bound
    LEASED,
    DELAYED,
    DUE,  # when the next delayed one is: Unix time in microseconds
    END,  # when the next lease is over: monotonic, in nanoseconds
    LOOKED,  # when somebody last asked whether the holders live: the same
    HEAP,  # how many came back
    FREE,  # how many slots are free
    ENDED,
    REMOVED,
    COMMITS,
    SYNCED,  # so many of the commits are on the disk
    LOGGED,  # bytes that went to the log since the last checkpoint, about
    ITEMS_IN,
    ITEMS_OUT,
    BYTES_IN,
    BYTES_OUT,
    REDELIVERED,
    STARVED,  # when somebody had waited for the lock for too long: monotonic, in nanoseconds; 0: nobody does
) = range(26)

NEVER = 2**63 - 1


class _Files:
    """The locks by which the threads of this process take turns, one for each file: shared by all handles on it."""

    def __init__(self) -> None:
        self.guard = threading.Lock()
        self.known: dict[tuple[int, int], threading.Lock] = {}

    def forget(self) -> None:
        self.guard = threading.Lock()
        self.known = {}

    def lock_of(self, identity: tuple[int, int]) -> threading.Lock:
        with self.guard:
            return self.known.setdefault(identity, threading.Lock())


_files = _Files()
# A child's threads are others: it has copies of locks that nobody in it holds.
os.register_at_fork(after_in_child=_files.forget)


def _open(path: Path, size: int, model: os.stat_result) -> Region:
    """The region in a file beside the database, with its owner and mode; made if need be."""
    while True:
        try:
            return Region.open_file(os.fspath(path), "state", LAYOUT)
        except FileNotFoundError:
            pass
        except CorruptSegment:
            # It holds nothing that cannot be made anew; but nobody may be using it.
            if path.stat().st_size == 0:
                path.unlink(missing_ok=True)
                continue
            raise
        except BlockingIOError as error:  # somebody makes it ready
            raise ConnectionLost(str(error)) from error
        try:
            region = Region.create_file(os.fspath(path), "state", size, LAYOUT)
        except FileExistsError:
            continue  # somebody else made it in between
        with suppress(OSError):
            os.chown(path, model.st_uid if os.geteuid() == 0 else -1, model.st_gid)
        path.chmod(model.st_mode & 0o666)
        return region


def _namespace() -> int:
    return Path("/proc/self/ns/pid").stat().st_ino


class WriteLock:
    """The lock in front of all that is written to the database, for the queues that share one."""

    def __init__(self, path: Path, model: os.stat_result) -> None:
        self.region = _open(path, 4096, model)
        if self.region.was_alone:
            view = memoryview(self.region)
            view[_LOCK : _LOCK + 64] = _LOCK_CELL.ljust(64, b"\0")
            self.region.let_others_in()
        self.cell = LockBase(self.region, _LOCK)
        self.turn = _files.lock_of(self.region.identity)


class Coordination:
    """The file of one queue, as one handle sees it. All but the event counts is used under `lock`."""

    def __init__(self, path: Path, model: os.stat_result, token: int, shown: str) -> None:
        region = _open(path, _SIZE, model)
        if region.size != _SIZE:
            raise CorruptSegment(f"{path} has {region.size} bytes; this conveyor makes {_SIZE}")
        view = memoryview(region)
        self.words: Any = view[_WORDS : _WORDS + 8 * _WORD_COUNT].cast("q")
        arrays = [view[_ARRAYS + 8 * SLOTS * n : _ARRAYS + 8 * SLOTS * (n + 1)].cast("q") for n in range(5)]
        self.ids: Any = arrays[0]  # by slot; 0: the slot is free
        self._id_bytes = view[_ARRAYS : _ARRAYS + 8 * SLOTS]
        self.owners: Any = arrays[1]
        self.untils: Any = arrays[2]  # monotonic, in nanoseconds
        self.free: Any = arrays[3]  # a stack of slots
        self.heap: Any = arrays[4]  # numbers of items, the smallest first
        self.region = region
        self.path = path
        if region.was_alone:
            self._begin(view, token)
            region.let_others_in()
        self.words_checked(token, shown)
        self.lock = LockBase(region, _LOCK)
        self.sync_lock = LockBase(region, _SYNC)
        self.items = NumberBase("q", region, _ITEMS)
        self.room = NumberBase("q", region, _ROOM)
        self.turn = _files.lock_of(region.identity)
        self.me = region.owner - 2**63  # as a signed number

    def _begin(self, view: Any, token: int) -> None:
        """Nobody else has the file open: what its locks say is of the past."""
        for at, cell, size in (
            (_LOCK, _LOCK_CELL, 64),
            (_SYNC, _LOCK_CELL, 64),
            (_ITEMS, _NUMBER_CELL, 128),
            (_ROOM, _NUMBER_CELL, 128),
        ):
            view[at : at + size] = cell.ljust(size, b"\0")
        # The number's own lock lies in its second half, an RLock cell.
        for at in (_ITEMS, _ROOM):
            view[at + 64 : at + 72] = (2).to_bytes(4, "little") + (64).to_bytes(4, "little")
        words = self.words
        if words[TOKEN] != token:  # new, or of a database that lay here before
            view[_WORDS:_ARRAYS] = bytes(_ARRAYS - _WORDS)
            view[_ARRAYS : _ARRAYS + 8 * SLOTS] = bytes(8 * SLOTS)
            words[TOKEN] = token
        words[NAMESPACE] = _namespace()
        words[VOID] = 1
        words[DIRTY] = 1
        words[SYNCED] = words[COMMITS] = 0

    def words_checked(self, token: int, shown: str) -> None:
        """See to it that this file belongs to that queue, and to processes whose pids mean something to us.

        Raises:
            PermissionError: to processes of another pid namespace.
            ConnectionLost: it belongs to another queue, removed, whose last users are about to notice.
        """
        if self.words[TOKEN] != token:
            raise ConnectionLost(f"{self.path} is in use by processes that have another database open")
        if self.words[NAMESPACE] != _namespace():
            raise PermissionError(
                f"{shown} is in use by processes of another pid namespace (another container?): this one could not see "
                "whether they live. Run both in one namespace, or use a broker"
            )

    # -- the heap of what came back

    def push(self, number: int) -> None:
        """One more that came back."""
        heap = self.heap
        at = self.words[HEAP]
        self.words[HEAP] = at + 1
        while at:
            above = (at - 1) >> 1
            if heap[above] <= number:
                break
            heap[at] = heap[above]
            at = above
        heap[at] = number

    def pop(self) -> int:
        """The smallest; there is one."""
        heap = self.heap
        count = self.words[HEAP] - 1
        self.words[HEAP] = count
        smallest: int = heap[0]
        last = heap[count]
        at = 0
        while True:
            below = 2 * at + 1
            if below >= count:
                break
            if below + 1 < count and heap[below + 1] < heap[below]:
                below += 1
            if heap[below] >= last:
                break
            heap[at] = heap[below]
            at = below
        heap[at] = last
        return smallest

    # -- leases

    def hold(self, number: int, until: int) -> int:
        """Note that this process has an item under lease; the slot. There must be a free one."""
        words = self.words
        left = words[FREE] - 1
        words[FREE] = left
        slot: int = self.free[left]
        self.owners[slot] = self.me
        self.untils[slot] = until
        self.ids[slot] = number  # last: from here on it is leased
        words[LEASED] += 1
        if until < words[END]:
            words[END] = until
        return slot

    def let_go(self, slot: int) -> None:
        """It is not leased any more."""
        words = self.words
        self.ids[slot] = 0
        self.free[words[FREE]] = slot
        words[FREE] += 1
        words[LEASED] -= 1

    def held(self) -> list[tuple[int, int]]:
        """The slots that are taken, and the items in them."""
        found: list[tuple[int, int]] = []
        for start in range(0, SLOTS, _BLOCK):
            # As bytes, at one go: to look at all the numbers takes milliseconds, with the lock held.
            if self._id_bytes[8 * start : 8 * (start + _BLOCK)].tobytes() != _ALL_FREE:
                numbers = self.ids[start : start + _BLOCK].tolist()
                found += [(slot, number) for slot, number in enumerate(numbers, start) if number]
        return found

    def set_free(self, taken: set[int]) -> None:
        """Make the stack of free slots anew: all but those that are taken, the lowest on top."""
        slots = array("q", range(SLOTS - 1, -1, -1))
        if taken:
            slots = array("q", [slot for slot in slots if slot not in taken])
        self.free[: len(slots)] = memoryview(slots)
        self.words[FREE] = len(slots)
        self.words[LEASED] = len(taken)

    def set_heap(self, numbers: list[int]) -> None:
        """Make the heap anew, of numbers in order."""
        self.heap[: len(numbers)] = memoryview(array("q", numbers))
        self.words[HEAP] = len(numbers)
