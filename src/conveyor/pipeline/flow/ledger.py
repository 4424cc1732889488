"""Ledger: where each item is that a stage has taken in and has not passed on."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator
from enum import Enum
from typing import Any

from .chunk import Chunk
from .reorder_buffer import ReorderBuffer

__all__ = ["OUT", "ItemState", "Ledger"]


class ItemState(Enum):
    """Where the items of a chunk are that have no result yet.

    TAKEN -> WAITING -> OUT -> done, which is to have a result: a value, several, `NO_RESULT`, or `ABANDONED` when the
    item's failure ends the run. OUT -> BACKOFF -> WAITING when an item is to be tried again, OUT -> WAITING when a
    worker gives back what it has not begun. What is left when the stage is closed is given up.
    """

    TAKEN = "taken"
    """The stage has it, and has not yet said which worker may have it."""
    WAITING = "waiting for a worker"
    OUT = "with a worker"
    BACKOFF = "to be tried again later"
    HELD_BACK = "to be tried again before what comes back with it"
    """An item with a key, between the death of its worker and the return of what that worker had."""


# A member of an enumeration costs more to name than to use.
OUT = ItemState.OUT
_TAKEN, _WAITING, _BACKOFF, _HELD_BACK = (
    ItemState.TAKEN,
    ItemState.WAITING,
    ItemState.BACKOFF,
    ItemState.HELD_BACK,
)


class Ledger:
    """Every chunk of a stage's input from when it is taken until its last result is handed out.

    Pure data: no clock, no worker, no failure policy. Each chunk that misses results is in one state, and in the one
    queue that belongs to it; the reorder buffer holds them all.

    Args:
        ordered: results are handed out in the order of the input; else as they come.
        max_items: no new input is taken while as many items are held.
        max_bytes: no new input is taken while about as many bytes are held.
        slots: queues for items with keys, each for one worker; 0: any worker may have any item.
    """

    def __init__(self, ordered: bool, max_items: int, max_bytes: int, slots: int = 0) -> None:
        self.buffer = ReorderBuffer(ordered, max_items, max_bytes)
        self.taken = 0
        """Items taken so far: the place of the next one."""
        self.available = 0
        """Items that wait for a worker."""
        self._queue: deque[Chunk] = deque()
        self._slots: list[deque[Chunk]] = [deque() for _ in range(slots)]
        self._backoff: list[tuple[float, int, Chunk]] = []  # a heap: when, the place
        self._held_back: list[Chunk] = []

    # -- in ---------------------------------------------------------------------------------------------

    def take(self, items: list[Any], origins: list[Any] | None = None) -> Chunk:
        """Hold the next items of the input; they are TAKEN."""
        chunk = Chunk(self.taken, items, origins)
        chunk.state = _TAKEN
        self.taken += chunk.count
        self.buffer.add(chunk)
        return chunk

    def wait(self, chunk: Chunk, first: bool = False) -> None:
        """A chunk waits for any worker.

        Args:
            chunk: the chunk.
            first: before those that wait already.
        """
        chunk.state = _WAITING
        (self._queue.appendleft if first else self._queue.append)(chunk)
        self.available += chunk.count

    def wait_in(self, slot: int, chunk: Chunk) -> None:
        """A chunk waits for the worker of a slot, behind those that do."""
        chunk.state = _WAITING
        self._slots[slot].append(chunk)
        self.available += chunk.count

    # -- out --------------------------------------------------------------------------------------------

    def next(self, most: int) -> Chunk | None:
        """The next chunk for any worker, of so many items at most; it is OUT. None: nothing waits."""
        if not self._queue:
            return None
        chunk = self._queue.popleft()
        if chunk.count > most:
            self._queue.appendleft(self.split(chunk, chunk.start + most))
        return self._out(chunk)

    def next_in(self, slot: int) -> Chunk | None:
        """The next chunk for the worker of a slot; it is OUT. None: nothing waits."""
        return self._out(self._slots[slot].popleft()) if self._slots[slot] else None

    def _out(self, chunk: Chunk) -> Chunk:
        chunk.state = OUT
        self.available -= chunk.count
        return chunk

    def waiting_slots(self) -> Iterator[int]:
        """The slots in which chunks wait."""
        return (slot for slot, queue in enumerate(self._slots) if queue)

    # -- back -------------------------------------------------------------------------------------------

    def back_off(self, chunk: Chunk, until: float) -> None:
        """A chunk of one item is to be tried again, not before then."""
        chunk.state = _BACKOFF
        heapq.heappush(self._backoff, (until, chunk.start, chunk))

    def due(self, now: float) -> Iterator[Chunk]:
        """The chunks whose back-off is over, one after the other; each is TAKEN, and is to wait again."""
        while self._backoff and self._backoff[0][0] <= now:
            chunk = heapq.heappop(self._backoff)[2]
            chunk.state = _TAKEN
            yield chunk

    @property
    def next_due(self) -> float | None:
        """When the first back-off is over; None: there is none."""
        return self._backoff[0][0] if self._backoff else None

    def hold_back(self, chunk: Chunk) -> None:
        """A chunk of one item with a key is to be tried again before what its worker had not begun."""
        chunk.state = _HELD_BACK
        self._held_back.append(chunk)

    def come_back_to(self, slot: int, chunks: list[Chunk]) -> bool:
        """What the worker of a slot had waits for the next one of that slot, in its order; held-back chunks first.

        Returns:
            Whether there is anything.
        """
        chunks, self._held_back = [*self._held_back, *chunks], []
        for chunk in reversed(chunks):
            chunk.state = _WAITING
            self._slots[slot].appendleft(chunk)
            self.available += chunk.count
        return bool(chunks)

    # -- as a whole -------------------------------------------------------------------------------------

    @property
    def waiting(self) -> int:
        """Items that no worker has."""
        return self.available + len(self._backoff)

    def split(self, chunk: Chunk, number: int) -> Chunk:
        """Cut a chunk in two before that place of the input; returns the second part, in the same state."""
        return self.buffer.split(chunk, number)

    def places(self) -> Iterator[tuple[ItemState, Chunk]]:
        """Every chunk in a queue of the ledger's, with the state that belongs to the queue."""
        for queue in (self._queue, *self._slots):
            yield from ((_WAITING, chunk) for chunk in queue)
        yield from ((_BACKOFF, chunk) for _, _, chunk in self._backoff)
        yield from ((_HELD_BACK, chunk) for chunk in self._held_back)
