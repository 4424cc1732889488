"""Hand: one worker, as the stage that owns it sees it."""

from __future__ import annotations

import pickle
from collections import deque
from time import monotonic
from typing import Any

from ..workers.messages import DROPPED, FAILED, MANY, PART, READY, SLOW, STOP, VALUE, Unreadable, wrap
from ..workers.slate import Slate
from .failure import Failure
from .lending import LEAST_LENT, lend
from .life import Life
from .owner import Owner
from .run import GAP, LOST, Run, Several, weigh
from .slowest import Slowest

__all__ = ["Hand"]

# A worker is given this many seconds of work in advance: long against the time that the engine
# needs to bring more, short against what a person waits for a drain.
_AHEAD_SECONDS = 0.04
_AHEAD_ITEMS = 8192
_AHEAD_BYTES = 4 * 1024 * 1024
_SLOW_NANOSECONDS = 1_000_000  # nobody asks for the slowest among quick ones


class Hand(Life):
    """A worker and the items that it has.

    What subclasses differ in is how the worker lives, and `_send`, `_take` and `_recall`.

    Args:
        owner: the stage.
        slate: where the worker writes its figures.
    """

    pid = 0
    lends = False
    """Whether it may look at large items where they lie in this process."""
    most_ahead = _AHEAD_ITEMS
    """Its appetite is not larger."""

    def __init__(self, owner: Owner, slate: Slate) -> None:
        self._owner = owner
        self.slate = slate
        self.slate.tell_above(_SLOW_NANOSECONDS)
        self._runs: deque[Run] = deque()
        self.outstanding = 0
        """Items given and without a result."""
        self.appetite = 1
        """How many items it should have, results of which have not come. The first may lie there when it comes."""
        self.ready = False
        """Whether it has said that it is there."""
        self.broken: tuple[Any, ...] | None = None
        """What it said when it could not be set up, or could not have what it is to do: a message."""
        self.dismissed = False
        """Whether it was told to leave, and is to get nothing more."""
        self.timed_out = False
        """Whether it was killed because of a time limit."""
        self.held_up_at = 0.0
        """When it last waited for the engine to take its results, as far as that is known."""
        self.seconds: float | None = None
        """Per item, as lately measured."""
        self.started = monotonic()
        self.ready_at = 0.0
        self._since = self.started  # the work on the next result began then, or later
        self.finished = 0
        """Items that it has done, whatever came of them."""
        self._bytes = 0
        self._seen = (0, 0)  # items and busy time of the slate, when looked at last
        self._last: tuple[int, Any] | None = None  # number and item of the last result
        self.slowest = Slowest(slate)
        """The items that took longest."""

    def close(self) -> None:
        """Wait for the end of a worker that is ending, and let go of what belongs to it."""
        self.slate.close()

    def dismiss(self) -> None:
        """Tell it to leave when it has done what it has."""
        self.dismissed = True
        self.appetite = 0
        self._send([(STOP,)])

    # -- items -----------------------------------------------------------------------------------------

    @property
    def works_on(self) -> int:
        """Where the run starts that it works on; -1: it has none."""
        return self._runs[0].start if self._runs else -1

    @property
    def parting(self) -> bool:
        """Whether it has given the first of very many results of an item, which wait for their turn."""
        return bool(self._runs) and bool(self._runs[0].part) and self._runs[0].origins is None

    def room(self) -> int:
        """How many items to give it now; 0 while it has enough."""
        # In larger portions, as long as it does not run dry.
        return self.appetite - self.outstanding if self.outstanding <= self.appetite >> 1 else 0

    def _reckon(self) -> None:
        """Say how many items it should have, after a change of what that depends on."""
        if not self.ready or self.dismissed:
            self.appetite = 0
        elif self.seconds is None:
            self.appetite = 1
        else:
            enough = min(1 + int(_AHEAD_SECONDS / max(self.seconds, 1e-9)), _AHEAD_ITEMS)
            self.appetite = min(
                enough, 1 + _AHEAD_BYTES * self.finished // (self._bytes + 1), self.most_ahead
            )

    def give(self, run: Run) -> None:
        """Hand a run to the worker."""
        if not self.outstanding:
            self._since = monotonic()
        self._bytes += run.weight
        messages = lend(run.items) if self.lends and run.weight >= LEAST_LENT * run.count else None
        try:
            self._send(messages or wrap(run.items))
        except Exception as error:
            sent: int = getattr(error, "items_put", 0)
            if sent:  # there was no memory for the next
                rest = self._owner.split(run, run.start + sent)
                self._runs.append(run)
                self.outstanding += sent
                run = rest
            self._give_each(run)
            return
        self._runs.append(run)
        self.outstanding += run.count

    def _give_each(self, run: Run) -> None:
        """At least one of these cannot be sent, and none was."""
        for number in range(run.start, run.start + run.count):
            rest = self._owner.split(run, number + 1) if run.count > 1 else None
            try:
                self._send(wrap(run.items))
            except Exception as error:
                what = (
                    "no memory to send it" if isinstance(error, MemoryError) else "the item cannot be pickled"
                )
                self._settle(run, Failure.here(self._owner.stage, number, run.items[0], error, what), 0)
            else:
                self._runs.append(run)
                self.outstanding += 1
            if rest is None:
                return
            if self._owner.closed:  # by this failure
                self._owner.come_back([rest])
                return
            run = rest

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
            run = self._runs.popleft()
            self.outstanding = 0
            self._last = run.start, run.items[0]
            self.finished += 1
            return batch
        if self._distribute(batch):
            self._measure(1)
        return []

    def _distribute(self, batch: list[Any]) -> int:
        kinds = set(map(type, batch))
        if tuple not in kinds and Unreadable not in kinds:
            return self._add_values(batch)
        count = 0
        at = 0
        for index, message in enumerate(batch):
            kind = type(message)  # pyright: ignore[reportUnknownVariableType]
            if kind is tuple or kind is Unreadable:
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
            run = self._runs[0]
            if run.part:  # more than one value after all, though the last came alone
                self._add(values[at])
                at += 1
                continue
            some = values[at : at + run.missing] if at or len(values) > run.missing else values
            at += len(some)
            weight = weigh(some)
            self._bytes += weight
            last = run.next_number + len(some) - 1
            self._last = (last, run.item(last))
            run.add(some, weight)
            self._owner.grown(run, len(some), weight)
            if not run.missing:
                self._runs.popleft()
        self.outstanding -= len(values)
        return len(values)

    def _special(self, message: Any) -> int:
        if type(message) is Unreadable:
            text = f"the result cannot be unpickled: {message.error}"
            return self._fail(0, 1, None, type(message.error).__name__, text, "", "")
        kind = message[0]
        if kind == VALUE:
            self._add(message[1])
        elif kind == DROPPED:
            self._add(GAP)
        elif kind == MANY:
            self._add(Several(message[1]))
        elif kind == PART:
            run = self._runs[0]
            run.part += message[1]
            self._owner.grown(run, 0, 0)
            return 0
        elif kind == FAILED:
            return self._fail(*message[1:])
        elif kind == SLOW:
            if self._last is not None:
                self.slowest.note(message[1], *self._last)
            return 0
        elif kind == READY:
            self.ready = True
            self._since = self.ready_at = monotonic()
            self._reckon()
            return 0
        else:
            self.broken = message
            return 0
        self.outstanding -= 1
        return 1

    def _add(self, entry: Any) -> None:
        run = self._runs[0]
        number = run.next_number
        count = 1
        special = False
        if run.part:  # what came before of this item goes first
            entry = Several(
                [*run.part, *(entry if type(entry) is Several else [] if entry is GAP else [entry])]
            )
            run.part = []
        if type(entry) is Several:
            special = True
            count = len(entry)
            weight = weigh(entry)
        elif entry is GAP:
            special = True
            count = weight = 0
        else:
            weight = weigh([entry])
        if special and run.origins is not None:
            self._owner.spread(run.origins[number - run.start], count)
        self._bytes += weight
        self._last = (number, run.item(number))
        run.add([entry], weight, special)
        self._owner.grown(run, 1, weight)
        if not run.missing:
            self._runs.popleft()

    def _fail(self, link: int, attempts: int, pickled: bytes | None, *words: str) -> int:
        run = self._runs.popleft()
        number = run.next_number
        kind, message, where, traceback = words
        item = run.item(number)
        failure = Failure(
            self._owner.stage, number, item, attempts, kind, message, where, traceback, self.pid, pickled
        )
        if run.count > 1:
            # The item alone, between what is done and what follows.
            if number > run.start:
                done, run = run, self._owner.split(run, number)
                self._owner.grown(done, 0, 0)
            if run.count > 1:
                self._runs.appendleft(self._owner.split(run, number + 1))
        self._last = (number, item)
        self.outstanding -= 1
        self._settle(run, failure, link)
        return 1

    def _settle(self, run: Run, failure: Failure, link: int) -> None:
        """Have the owner decide on a run of one item, which failed."""
        again, instead = self._owner.failed(failure, link, released=run.parted)
        run.part = []
        if again:
            self._owner.retry(run, instead)
            return
        if run.origins is not None and instead is GAP:
            self._owner.spread(run.origins[0], 0)
        if instead is LOST:
            instead = GAP
        run.add([instead], 0, special=instead is GAP)
        self._owner.grown(run, 1, 0)

    def _measure(self, count: int) -> None:
        self._since = monotonic()
        self.finished += count
        items, busy = self.slate.items, self.slate.busy
        fresh = items - self._seen[0]
        if fresh <= 0:
            return
        seconds = (busy - self._seen[1]) * 1e-9 / fresh
        self._seen = (items, busy)
        # Quick to believe that items are quick, slow to believe that they are slow: too little in
        # advance leaves the worker idle, and too much can be taken back.
        if self.seconds is not None and seconds > self.seconds:
            seconds = (seconds + self.seconds) / 2
        self.seconds = seconds
        self._reckon()

    # -- items back ---------------------------------------------------------------------------------------

    def overdue(self, now: float, patience: float) -> float:
        """Seconds beyond `patience` for which it has been busy with one item while others wait behind it.

        Negative: how long until then; -inf: nothing waits. An item that is as slow as those before it
        is expected to be gets more patience.
        """
        if not self.ready:  # its first item waits for its setup
            return now - self.started - patience if self.outstanding else float("-inf")
        if self.outstanding < 2 or self.has_results():
            return float("-inf")
        return now - self._since - max(patience, 4 * (self.seconds or 0.0))

    def take_back(self) -> list[Run]:
        """Take back what it has not begun: runs, to be given to somebody else."""
        count = self._recall()
        if self.dismissed:
            self.dismiss()  # what told it to leave may have been among it
        if not self.ready:
            self.appetite = 0
        self.outstanding -= count
        # It takes them in order, so what was still there are the last ones.
        back: deque[Run] = deque()
        while count:
            run = self._runs.pop()
            if run.missing > count or (run.missing == count and run.results):
                rest = self._owner.split(run, run.start + run.count - count)
                back.appendleft(rest)
                if run.missing:
                    self._runs.append(run)
                else:
                    self._owner.grown(run, 0, 0)  # the split left no item without a result
                break
            back.appendleft(run)
            count -= run.count
        return list(back)

    def culprit(self) -> tuple[int, Any] | None:
        """The place and the item that it works on, or died on; None: it has none.

        To be called after `collect` and `take_back`.
        """
        if not self._runs:
            return None
        run = self._runs[0]
        return run.next_number, run.item(run.next_number)

    def bury(self, error: Exception, where: str, link: int) -> list[Run]:
        """The worker is gone: the item that it died on has failed; what it took and had not begun comes back.

        To be called after `collect` and `take_back`.

        Args:
            error: what the item failed with.
            where: the place in the code, if it is known.
            link: which of the stage's functions was at work.
        """
        if self._runs:
            self._fail(link, 1, pickle.dumps(error), type(error).__name__, str(error), where, "")
        return self.bury_quietly()

    def bury_quietly(self) -> list[Run]:
        """The worker is gone and has begun nothing: all that it had comes back."""
        back = list(self._runs)
        self._runs.clear()
        self.outstanding = 0
        return back
