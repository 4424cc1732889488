"""Inbox: what one worker says, and what that means for the items that it has."""

from __future__ import annotations

from collections import deque
from typing import Any

from ..base.failure import Failure
from ..base.retry import Retry
from ..base.weight import weigh
from ..flow.chunk import NO_RESULT, Chunk, MultiResult
from ..worker.messages import (
    BROKEN,
    DROPPED,
    FAILED,
    LEFT,
    MULTI_RESULT,
    PART,
    READY,
    REST,
    SAID,
    SLOW,
    STRANDED,
    TORN,
    VALUE,
    WORN,
    Unreadable,
    kind_of,
)
from ..worker.status_page import StatusPage
from .slowest import Slowest
from .stage_port import StagePort
from .transport import WorkerTransport

__all__ = ["Inbox"]

# A worker is given this many seconds of work in advance: long against the time that the engine
# needs to bring more, short against what a person waits for a drain.
_AHEAD_SECONDS = 0.04
_AHEAD_ITEMS = 8192
_AHEAD_BYTES = 4 * 1024 * 1024
_SLOW_NANOSECONDS = 1_000_000  # nobody asks for the slowest among quick ones
_NEVER_NANOSECONDS = (1 << 63) - 1


class Inbox(WorkerTransport):
    """The half of a `WorkerHandle` that listens.

    Args:
        owner: the stage.
        status_page: where the worker writes its figures.
    """

    most_ahead = _AHEAD_ITEMS
    """Its appetite is not larger."""

    def __init__(self, stage_port: StagePort, status_page: StatusPage) -> None:
        self._stage_port = stage_port
        self.now = stage_port.now
        """The time, by the clock of the run."""
        self.status_page = status_page
        self.status_page.tell_above(_SLOW_NANOSECONDS)
        self.status_page.identity.write(*stage_port.identity)
        self._chunks: deque[Chunk] = deque()
        self.outstanding = 0
        """Items given and without a result."""
        self.credit = 1
        """How many items it should have, results of which have not come. The first may lie there when it comes."""
        self.ready = False
        """Whether it has said that it is there."""
        self.broken: tuple[Any, ...] | None = None
        """The message by which it said that it cannot be set up, or have what it is to do; None: dealt with."""
        self.torn: list[tuple[Any, ...]] = []
        """What its teardown raised, until somebody deals with it: fields of failures."""
        self.worn = False
        """Whether it has said that it is to be renewed, and nobody has dealt with it."""
        self.rest: list[Any] = []
        """What its teardown gave, until somebody deals with it."""
        self.has_news = False
        """Whether it has said something of itself that its pool has not heard."""
        self.left_at = 0.0
        """When it has said its last word; 0: not yet."""
        self.shutting_down = False
        """Whether it was told to leave, and is to get nothing more."""
        self.held_up_at = 0.0
        """When it last waited for the engine to take its results, as far as that is known."""
        self.seconds: float | None = None
        """Per item, as lately measured."""
        self.started = self.now()
        self.ready_at = 0.0
        self._since = self.started  # the work on the next result began then, or later
        self.finished = 0
        """Items that it has done, whatever came of them."""
        self._bytes = 0
        self._seen = (0, 0)  # items and busy time of the status page, when looked at last
        self._last: tuple[int, Any] | None = None  # number and item of the last result
        self._part_next = False  # the next message has results of an item of which more follow
        self._spoilt: Unreadable | None = None  # in the place of such results of the item that is worked on
        self.slowest = Slowest(status_page)
        """The items that took longest."""

    def collect(self) -> int:
        """Take the results that are there; returns how many there were."""
        count = 0
        while batch := self._take():
            count += self._distribute(batch)
            if len(batch) < 1024:
                break
        if count:
            self._measure(count)
        return count

    def collect_lone(self) -> list[Any]:
        """Take the result of the only item that it has, if that is a plain value; else as `collect`, and nothing."""
        batch = self._take()
        if len(batch) == 1 and type(batch[0]) is not tuple and type(batch[0]) is not Unreadable:
            chunk = self._chunks.popleft()
            self.outstanding = 0
            self._last = chunk.start, chunk.items[0]
            self.finished += 1
            return batch
        if self._distribute(batch):
            self._measure(1)
        return []

    def forget(self) -> None:
        """Keep no item that is done, and none for being slow: nobody asks for them."""
        self._last = None
        self.status_page.tell_above(_NEVER_NANOSECONDS)

    def _distribute(self, batch: list[Any]) -> int:
        kinds = set(map(type, batch))
        if tuple not in kinds and Unreadable not in kinds and not self._part_next:
            return self._add_values(batch)
        count = 0
        at = 0
        for index, message in enumerate(batch):
            kind = type(message)  # pyright: ignore[reportUnknownVariableType]
            if kind is tuple or kind is Unreadable or self._part_next:
                if index > at:
                    count += self._add_values(batch[at:index])
                at = index + 1
                count += self._special(message)
        if at < len(batch):
            count += self._add_values(batch[at:])
        return count

    def _add_values(self, values: list[Any]) -> int:
        """Results that stand for themselves."""
        at = 0
        while at < len(values):
            chunk = self._chunks[0]
            if self._spoilt is not None:
                self._fail_unreadable(self._spoilt)
                at += 1
                continue
            if chunk.partial_results:  # more than one value after all, though the last came alone
                self._add(values[at])
                self.outstanding -= 1
                at += 1
                continue
            some = values[at : at + chunk.missing] if at or len(values) > chunk.missing else values
            at += len(some)
            self.outstanding -= len(some)
            weight = weigh(some)
            self._bytes += weight
            last = chunk.next_number + len(some) - 1
            self._last = (last, chunk.item(last))
            chunk.add(some, weight)
            self._stage_port.grown(chunk, len(some), weight)
            if not chunk.missing:
                self._chunks.popleft()
        return len(values)

    def _special(self, message: Any) -> int:
        if self._part_next and kind_of(message) != SAID:
            self._part_next = False
            self._add_part(message)
            return 0
        if type(message) is Unreadable:
            return self._fail_unreadable(message)
        kind = message[0]
        if self._spoilt is not None and kind in (VALUE, DROPPED, MULTI_RESULT):
            return self._fail_unreadable(self._spoilt)
        if kind == VALUE:
            self._add(message[1])
        elif kind == DROPPED:
            self._add(NO_RESULT)
        elif kind == MULTI_RESULT:
            self._add(MultiResult(message[1]))
        elif kind == PART:
            self._part_next = True
            return 0
        elif kind == FAILED:
            return self._fail(*message[1:])
        else:
            self._hear(message)
            return 0
        self.outstanding -= 1
        return 1

    def _fail_unreadable(self, message: Unreadable) -> int:
        text = f"the result cannot be unpickled: {message.error}"
        error = message.error
        carried = error if isinstance(error, Exception) else None  # an exit is not ours
        if carried is not None:
            carried = carried.with_traceback(None)  # its frames would keep alive what is in their variables
            carried.add_note("raised when the result was unpickled")
        return self._fail(0, 1, carried, type(error).__name__, text, "", "")

    def _add_part(self, message: Any) -> None:
        """Some results of the item that is worked on, or what is there in their place."""
        chunk = self._chunks[0]
        if type(message) is Unreadable or self._spoilt is not None:
            self._spoilt = (
                self._spoilt or message
            )  # nothing more of the item is of use: it has failed when it ends
            return
        if chunk.origins is not None:  # beside the item itself, which is still under way
            self._stage_port.fanned_out(chunk.origins[len(chunk.results)], len(message) + 1)
        chunk.partial_results += message
        self._stage_port.grown(chunk, 0, 0)

    def _hear(self, message: tuple[Any, ...]) -> None:
        """Note what it says of itself."""
        kind = message[0]
        if kind == SLOW:
            if self._last is not None:
                self.slowest.note(message[1], *self._last)
        elif kind == READY:
            self.ready = True
            self._since = self.ready_at = self.now()
            self._reckon()
        elif kind == SAID:
            self._stage_port.said(self.pid, message[1], message[2])
        elif kind in (BROKEN, STRANDED):
            self.broken = message
            self.has_news = True
        elif kind == TORN:
            self.torn.append(message[1:])
            self.has_news = True
        elif kind == REST:
            self.rest += message[1]
            self.has_news = True
        elif kind == WORN:
            self.worn = self.has_news = True
        else:
            assert kind == LEFT, message
            self.left_at = self.now()

    def take_leave(self) -> None:
        """Take what it says while it leaves; results that still come are dropped, for nobody waits for them."""
        while batch := self._take():
            for message in batch:
                if type(message) is not tuple:
                    continue
                about_an_item = message[0] in (
                    VALUE,
                    DROPPED,
                    MULTI_RESULT,
                    PART,
                    FAILED,
                )  # PART's values are a list
                if not about_an_item and not (message[0] == SLOW and self.outstanding):
                    self._hear(message)  # pyright: ignore[reportUnknownArgumentType]

    def _add(self, entry: Any) -> None:
        chunk = self._chunks[0]
        number = chunk.next_number
        fresh: list[Any] = entry if type(entry) is MultiResult else [] if entry is NO_RESULT else [entry]
        weight = weigh(fresh) + weigh(chunk.partial_results)
        special = fresh is entry or not fresh
        if special and chunk.origins is not None:
            self._stage_port.fanned_out(chunk.origins[number - chunk.start], len(fresh))
        if chunk.partial_results:  # what came before of this item goes first
            entry = MultiResult([*chunk.partial_results, *fresh])
            special = True
            chunk.partial_results = []
        self._bytes += weight
        self._last = (number, chunk.item(number))
        chunk.add([entry], weight, special)
        self._stage_port.grown(chunk, 1, weight)
        if not chunk.missing:
            self._chunks.popleft()

    def _fail(self, link: int, attempts: int, pickled: bytes | BaseException | None, *words: str) -> int:
        chunk = self._chunks.popleft()
        number = chunk.next_number
        self._spoilt = None
        kind, message, where, traceback = words
        item = chunk.item(number)
        failure = Failure(
            self._stage_port.stage, number, item, attempts, kind, message, where, traceback, self.pid, pickled
        )
        if chunk.count > 1:
            # The item alone, between what is done and what follows.
            if number > chunk.start:
                done, chunk = chunk, self._stage_port.split(chunk, number)
                self._stage_port.grown(done, 0, 0)
            if chunk.count > 1:
                self._chunks.appendleft(self._stage_port.split(chunk, number + 1))
        self._last = (number, item)
        self.outstanding -= 1
        self._settle(chunk, failure, link)
        return 1

    def _settle(self, chunk: Chunk, failure: Failure, link: int) -> None:
        """Have it decided what becomes of a chunk of one item, which failed."""
        verdict = self._stage_port.failed(failure, link, chunk)
        if chunk.partial_results and chunk.origins is not None:  # they were counted, and go nowhere
            self._stage_port.fanned_out(chunk.origins[0], 1 - len(chunk.partial_results))
        chunk.partial_results = []
        if type(verdict) is Retry:
            self._stage_port.retry(chunk, verdict)
            return
        if chunk.origins is not None and verdict is NO_RESULT:
            self._stage_port.fanned_out(chunk.origins[0], 0)
        chunk.end_with(verdict)
        self._stage_port.grown(chunk, 1, 0)

    def _measure(self, count: int) -> None:
        self._since = self.now()
        self.finished += count
        items, busy = self.status_page.items, self.status_page.busy
        fresh = items - self._seen[0]
        if fresh <= 0:  # it puts a result before it notes what that took
            if not self.credit:
                self._reckon()
            return
        seconds = (busy - self._seen[1]) * 1e-9 / fresh
        self._seen = (items, busy)
        # Quick to believe that items are quick, slow to believe that they are slow: too little in
        # advance leaves the worker idle, and too much can be taken back.
        if self.seconds is not None and seconds > self.seconds:
            seconds = (seconds + self.seconds) / 2
        self.seconds = seconds
        self._reckon()

    def _reckon(self) -> None:
        """Say how many items it should have, after a change of what that depends on."""
        if not self.ready or self.shutting_down:
            self.credit = 0
        elif self.seconds is None:
            self.credit = 1
        else:
            enough = min(1 + int(_AHEAD_SECONDS / max(self.seconds, 1e-9)), _AHEAD_ITEMS)
            self.credit = min(enough, 1 + _AHEAD_BYTES * self.finished // (self._bytes + 1), self.most_ahead)
