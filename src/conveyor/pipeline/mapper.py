"""Mapper: applies a function to a stream of items in supervised worker processes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Generator, Iterator
from enum import IntEnum
from multiprocessing.connection import wait as wait_for_sentinels
from time import monotonic
from typing import Any, Literal, TypeAlias, get_args

from .backlog import Backlog
from .events import (
    CrashLoop,
    Event,
    FewerWorkers,
    ItemFailed,
    OutletClosed,
    Results,
    Tick,
    WorkerDied,
    WorkerStuck,
)
from .hand import Hand
from .report import Report
from .sources import Source
from .watch import Watch
from .window import Window

__all__ = ["Halt", "Mapper", "NoWorkers"]

Halt: TypeAlias = Literal["never", "soon", "now"]

# Results that come in a trickle are collected this often at most: waking up for each would cost
# the workers a system call an item.
_PAUSE_SECONDS = 0.001
_TRICKLE = 256
# However we are told of deaths, we also look for ourselves: a child of the worker's may hold the
# descriptor that tells.
_LOOK_SECONDS = 0.5
_DISMISS_SECONDS = 5.0
# How long a worker may be busy with one item until those behind it are given to others.
_PATIENCE_IDLE = 0.02
_PATIENCE_BUSY = 1.0


class NoWorkers(RuntimeError):
    """The system would not start a single worker process; the cause is its error."""


class _Phase(IntEnum):
    RUNNING = 0
    DRAINING = 1  # no more input; what workers were given is finished
    LAST = 2  # what workers have begun is finished
    STOPPED = 3


class Mapper:
    """Worker processes that apply a function to each item of a stream, in constant memory.

    Iterate over `run()` and act on each event; the run goes on only while you do, which is the
    back-pressure. Input is read only as fast as results are handed out. Every item is begun at
    most once; if its worker dies, that item is reported as lost and no other.

    Args:
        function: applied to each item, in a worker; it must survive pickling unless the start
            method is fork. What it returns or raises is reported.
        source: where items come from.
        workers: processes at most; they are started as there is work for them.
        ordered: hand out results in the order of the input; else as they come.
        halt: after the first item that failed: `never` stop, finish what has begun and stop
            `soon`, or stop `now` and kill the workers.
        start_method: `fork`, `spawn` or `forkserver`; None: Python's default.
        max_items: items taken from the source and not yet handed out as results, at most.
        max_bytes: the same in bytes, approximately.
        crash_limit: so many workers may die one after another, with no item finished by any in
            between, until the run gives up; None: three for each worker, and at least ten.
        tick: seconds between `Tick` events while nothing else happens; None: none.
        outlet: a descriptor that results are written to; `OutletClosed` tells when its reader has gone.
        stdout_to_stderr: what the function prints goes to standard error.
        tracebacks: failures carry the formatted traceback.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        function: Callable[[Any], Any],
        source: Source[Any],
        *,
        workers: int,
        ordered: bool = True,
        halt: Halt = "never",
        start_method: str | None = None,
        max_items: int = 100_000,
        max_bytes: int = 64 * 1024 * 1024,
        crash_limit: int | None = None,
        tick: float | None = None,
        outlet: int | None = None,
        stdout_to_stderr: bool = False,
        tracebacks: bool = False,
    ) -> None:
        for name, value in (("workers", workers), ("max_items", max_items), ("crash_limit", crash_limit)):
            if value is not None and value < 1:
                raise ValueError(f"{name} is {value}; it must be at least 1")
        if halt not in get_args(Halt):
            raise ValueError(f"halt is {halt!r}; it must be one of {', '.join(get_args(Halt))}")
        self._function = function
        self._source = source  # read by the backlog alone; here to wait for it
        self._workers = workers
        self._halt = halt
        self._context = multiprocessing.get_context(start_method)
        self._window = Window(ordered, max_items, max_bytes)
        self._backlog = Backlog(source, self._window)
        self._crash_limit = crash_limit or max(10, 3 * workers)
        self._tick = tick
        self._outlet = outlet
        self._watch = Watch(outlet)
        self._keep = {"stdout_to_stderr": stdout_to_stderr, "tracebacks": tracebacks}

        self._phase = _Phase.RUNNING
        self._hands: list[Hand] = []
        self._failed = self._lost = self._cut = 0
        self._started = self._deaths = self._deaths_in_a_row = 0
        self._began = self._ended = 0.0
        self._collected = 0.0  # when results came in a trickle last; 0: they do not
        self._looked = 0.0
        self._hurry = False  # there is more to do than to wait

    # -- from outside, also from signal handlers -----------------------------------------------------

    def drain(self) -> int:
        """Take no more input, finish what workers were given, and end. Safe in a signal handler.

        Returns:
            How many items are in flight.
        """
        self._phase = max(self._phase, _Phase.DRAINING)
        self._backlog.close()
        self._watch.wake()
        return self._in_flight()

    def stop(self) -> None:
        """End at once: the workers are killed. Safe in a signal handler."""
        self._phase = _Phase.STOPPED
        self._watch.wake()

    def report(self) -> Report:
        """The figures at this moment, or of the end."""
        end = self._ended or monotonic()
        return Report(
            taken=self._backlog.taken,
            done=self._window.released,
            pending=self._window.pending,
            failed=self._failed,
            lost=self._lost,
            in_flight=self._in_flight(),
            not_begun=self._backlog.not_begun,
            workers=len(self._hands),
            started=self._started,
            deaths=self._deaths,
            seconds=end - self._began if self._began else 0.0,
        )

    def _in_flight(self) -> int:
        return sum(hand.outstanding for hand in self._hands) + self._cut

    # -- the run ---------------------------------------------------------------------------------------

    def run(self) -> Generator[Event, None, None]:
        """Run to the end of the source, or until told to end, and tell what happens.

        However the iteration ends, by `break` or an exception too, no worker process is left.

        Raises:
            NoWorkers: no process could be started.
            Exception: what the source raised, after all that was taken before has been finished.
        """
        self._began = monotonic()
        try:
            yield from self._loop()
            values = self._window.flush()
            if values:
                yield Results(values)
            if self._phase is not _Phase.STOPPED:
                yield from self._dismiss()
        finally:
            self._end()
        if self._backlog.error is not None:
            raise self._backlog.error

    def _loop(self) -> Iterator[Event]:
        news: list[Event] = []
        while True:
            # The workers get more to do before the caller hears what they have done.
            news += self._feed()
            yield from news
            if self._finished():
                return
            found = self._wait()
            news = [] if found or self._tick is None else [Tick()]
            if self._outlet in found:
                news.append(OutletClosed())
            if self._source.fileno() in found:
                self._backlog.fill()
            news += self._collect(found)
            news += self._supervise(found)

    def _finished(self) -> bool:
        if self._phase is _Phase.STOPPED:
            return True
        if any(hand.outstanding for hand in self._hands):
            return False
        return self._phase is _Phase.LAST or self._backlog.finished

    # -- items out to the workers ----------------------------------------------------------------------

    def _feed(self) -> Iterator[Event]:
        self._hurry = False
        if self._phase >= _Phase.LAST:
            self._watch_source(wanted=False)
            return
        hungry = [hand for hand in self._hands if hand.room() > 0]
        # Who has least comes first; nobody gets more than a fair share of what there is.
        hungry.sort(key=lambda hand: hand.outstanding)
        for hand in hungry:
            available = self._backlog.available
            if not available:
                break
            share = -(-available // self._workers)
            hand.give(self._backlog.next_run(min(hand.room(), share)))
        available = self._backlog.available
        waiting = sum(not hand.outstanding for hand in self._hands)  # idle, or not there yet
        if available > waiting and len(self._hands) < self._workers:
            yield from self._start()
        # Not before somebody can take it: what is read and not begun is lost to a drain.
        takers = len(self._hands) < self._workers or any(hand.room() for hand in self._hands)
        self._watch_source(wanted=takers and self._backlog.wants_input)

    def _watch_source(self, wanted: bool) -> None:
        fd = self._source.fileno()
        if fd is None:
            if wanted:
                self._backlog.fill()
                self._hurry = True
        else:
            self._watch.set_source(fd if wanted else None)

    def _start(self) -> Iterator[Event]:
        try:
            hand = Hand(self._context, self._function, self._window, **self._keep)
        except OSError as error:  # no memory, or no more processes allowed
            if not self._hands:
                raise NoWorkers(f"no worker process could be started: {error}") from error
            self._workers = len(self._hands)
            yield FewerWorkers(self._workers, error)
            return
        self._started += 1
        self._hands.append(hand)
        self._watch.add(hand.sentinel, hand.results_fd)
        self._hurry = True

    # -- what comes back ---------------------------------------------------------------------------------

    def _wait(self) -> set[int]:
        now = monotonic()
        if self._hurry:
            return self._watch.wait(0)
        if self._collected and now - self._collected < _PAUSE_SECONDS:
            self._watch.pause(_PAUSE_SECONDS)  # results can wait, but input is read at once
            now = monotonic()
        seconds = min(_LOOK_SECONDS, self._tick or _LOOK_SECONDS)
        if len(self._hands) > 1:
            seconds = min(seconds, self._take_from_the_stuck(now))
        return self._watch.wait(0 if self._hurry else seconds + 0.001)

    def _take_from_the_stuck(self, now: float) -> float:
        """Take back what waits behind a slow item; returns the seconds until it is to be done next."""
        # It costs, and a silent worker may only be waiting for a processor: in haste only if
        # somebody has nothing to do.
        idle = self._backlog.available == 0 and any(
            hand.ready and not hand.outstanding for hand in self._hands
        )
        patience = _PATIENCE_IDLE if idle else _PATIENCE_BUSY
        soonest = _LOOK_SECONDS
        for hand in self._hands:
            overdue = hand.overdue(now, patience)
            if overdue >= 0:
                self._backlog.take_back(hand.take_back())
                self._hurry = True
            soonest = min(soonest, max(-overdue, 0.0))
        return soonest

    def _collect(self, found: set[int]) -> Iterator[Event]:
        total = 0
        for hand in self._hands:
            if hand.results_fd in found:
                total += yield from self._collect_from(hand)
        self._collected = monotonic() if 0 < total < _TRICKLE else 0.0
        values = self._window.release()
        if values:
            yield Results(values)

    def _collect_from(self, hand: Hand) -> Generator[Event, None, int]:
        count, failures = hand.collect()
        if count:
            self._deaths_in_a_row = 0
        self._failed += len(failures)
        for number, item, failure in failures:
            yield ItemFailed(number, item, failure)
        if failures:
            self._item_failed()
        return count

    def _item_failed(self) -> None:
        if self._halt == "now":
            self._phase = _Phase.STOPPED
        elif self._halt == "soon" and self._phase < _Phase.LAST:
            self._phase = _Phase.LAST
            for hand in self._hands:
                self._backlog.take_back(hand.take_back())

    def _supervise(self, found: set[int]) -> Iterator[Event]:
        now = monotonic()
        look = now - self._looked > _LOOK_SECONDS
        if look:
            self._looked = now
        for hand in list(self._hands):
            if (look or hand.sentinel in found) and hand.process.exitcode is not None:
                yield from self._bury(hand)

    def _bury(self, hand: Hand) -> Iterator[Event]:
        exitcode = hand.process.exitcode
        assert exitcode is not None
        yield from self._collect_from(hand)
        self._backlog.take_back(hand.take_back())
        self._deaths += 1
        self._deaths_in_a_row += 1
        missing = hand.outstanding
        culprit = hand.bury()
        calls = hand.note.read()
        self._remove(hand)
        self._lost += missing
        number, item = culprit or (None, None)
        death = WorkerDied(hand.pid, exitcode, number, item, calls)
        yield death
        values = self._window.release()
        if values:
            yield Results(values)
        if culprit:
            self._item_failed()
        if self._deaths_in_a_row >= self._crash_limit and self._phase is not _Phase.STOPPED:
            self._phase = _Phase.STOPPED
            yield CrashLoop(self._deaths_in_a_row, death)

    # -- the end -----------------------------------------------------------------------------------------

    def _remove(self, hand: Hand) -> None:
        self._hands.remove(hand)
        self._watch.remove(hand.sentinel, hand.results_fd)
        hand.close()

    def _dismiss(self) -> Iterator[Event]:
        for hand in self._hands:
            hand.dismiss()
        until = monotonic() + _DISMISS_SECONDS
        while self._hands:
            left = until - monotonic()
            if left <= 0 or self._phase is _Phase.STOPPED:
                break
            wait_for_sentinels([hand.sentinel for hand in self._hands], min(left, 0.1))
            for hand in [hand for hand in self._hands if hand.process.exitcode is not None]:
                self._remove(hand)
        else:
            return
        for hand in self._hands:
            yield WorkerStuck(hand.pid, _DISMISS_SECONDS)

    def _end(self) -> None:
        self._cut = sum(hand.outstanding for hand in self._hands)
        for hand in self._hands:
            hand.kill()
        for hand in list(self._hands):
            self._remove(hand)
        self._ended = monotonic()
        self._watch.close()
