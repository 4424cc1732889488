"""Mapper: applies a function to a stream of items in supervised worker processes."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import select
from collections import deque
from collections.abc import Callable, Iterator
from enum import IntEnum
from multiprocessing.connection import wait as wait_for_sentinels
from time import monotonic, sleep
from typing import Any, Literal, TypeAlias, get_args

from .events import CrashLoop, Event, ItemFailed, OutletClosed, Results, Tick, WorkerDied, WorkerStuck
from .hand import Hand
from .report import Report
from .run import Run
from .sources import Source
from .window import Window

__all__ = ["Halt", "Mapper"]

Halt: TypeAlias = Literal["never", "soon", "now"]

# Results that come in a trickle are collected this often at most: waking up for each would cost
# the workers a system call an item.
_PAUSE_SECONDS = 0.001
_TRICKLE = 256
# However we are told of deaths, we also look for ourselves: a child of the worker's may hold the
# descriptor that tells.
_LOOK_SECONDS = 0.5
_DISMISS_SECONDS = 5.0
_ANY = -1


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
        self._source = source
        self._workers = workers
        self._halt = halt
        self._context = multiprocessing.get_context(start_method)
        self._window = Window(ordered, max_items, max_bytes)
        self._crash_limit = crash_limit or max(10, 3 * workers)
        self._tick = tick
        self._outlet = outlet
        self._keep = {"stdout_to_stderr": stdout_to_stderr, "tracebacks": tracebacks}

        self._phase = _Phase.RUNNING
        self._hands: list[Hand] = []
        self._back: deque[Run] = deque()  # taken back from workers, to be given again first
        self._taken = self._failed = self._lost = self._cut = 0
        self._started = self._deaths = self._deaths_in_a_row = 0
        self._began = self._ended = 0.0
        self._collected = 0.0  # when results came in a trickle last; 0: they do not
        self._looked = 0.0
        self._hurry = False  # there is more to do than to wait
        self._source_error: Exception | None = None

    # -- from outside, also from signal handlers -----------------------------------------------------

    def drain(self) -> int:
        """Take no more input, finish what workers were given, and end. Safe in a signal handler.

        Returns:
            How many items are in flight.
        """
        self._phase = max(self._phase, _Phase.DRAINING)
        self._wake()
        return self._in_flight()

    def stop(self) -> None:
        """End at once: the workers are killed. Safe in a signal handler."""
        self._phase = _Phase.STOPPED
        self._wake()

    def report(self) -> Report:
        """The figures at this moment, or of the end."""
        end = self._ended or monotonic()
        return Report(
            taken=self._taken + self._source.available,
            done=self._window.released,
            pending=self._window.pending,
            failed=self._failed,
            lost=self._lost,
            in_flight=self._in_flight(),
            not_begun=sum(run.count for run in self._back) + self._source.available,
            workers=len(self._hands),
            started=self._started,
            deaths=self._deaths,
            seconds=end - self._began if self._began else 0.0,
        )

    def _in_flight(self) -> int:
        return sum(hand.outstanding for hand in self._hands) + self._cut

    # -- the run ---------------------------------------------------------------------------------------

    def run(self) -> Iterator[Event]:
        """Run to the end of the source, or until told to end, and tell what happens.

        However the iteration ends, by `break` or an exception too, no worker process is left.

        Raises:
            OSError, or what the source raises: after what was taken before has been finished.
        """
        self._began = monotonic()
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poll = select.poll()
        self._poll.register(self._wake_fd, select.POLLIN)
        self._watching: int | None = None
        if self._outlet is not None:
            self._poll.register(self._outlet, 0)
        try:
            yield from self._loop()
            values = self._window.flush()
            if values:
                yield Results(values)
            if self._phase is not _Phase.STOPPED:
                yield from self._dismiss()
        finally:
            self._end()
        if self._source_error is not None:
            raise self._source_error

    def _loop(self) -> Iterator[Event]:
        while True:
            self._feed()
            if self._finished():
                return
            found = self._wait()
            if found and self._outlet is not None and found.pop(self._outlet, 0):
                self._poll.unregister(self._outlet)  # or it would be told again and again
                yield OutletClosed()
            if found.pop(self._wake_fd, 0):
                os.eventfd_read(self._wake_fd)
            if self._watching in found:
                self._fill()
            yield from self._collect(found)
            yield from self._supervise(found)
            if self._tick is not None and not found:
                yield Tick()

    def _finished(self) -> bool:
        if self._phase is _Phase.STOPPED:
            return True
        if any(hand.outstanding for hand in self._hands):
            return False
        if self._phase is _Phase.LAST:
            return True
        more = self._source.available or not self._source.exhausted
        return not self._back and (self._phase is _Phase.DRAINING or not more)

    # -- items out to the workers ----------------------------------------------------------------------

    def _feed(self) -> None:
        self._hurry = False
        if self._phase >= _Phase.LAST:
            return
        hungry = [room for hand in self._hands if (room := (hand.room(), hand))[0] > 0]
        # Who has least comes first; nobody gets more than a fair share of what there is.
        hungry.sort(key=lambda pair: pair[1].outstanding)
        for room, hand in hungry:
            available = self._available()
            if not available:
                break
            share = -(-available // self._workers)
            run = self._next_run(min(room, share))
            hand.give(run)
        available = self._available()
        waiting = sum(not hand.outstanding for hand in self._hands)  # idle, or not there yet
        if available > waiting and len(self._hands) < self._workers:
            self._start()
            self._hurry = True
        self._watch_source(wanted=available == 0 and self._wants_input())

    def _available(self) -> int:
        if self._back:
            return sum(run.count for run in self._back)
        return min(self._source.available, self._window.room) if self._phase is _Phase.RUNNING else 0

    def _next_run(self, most: int) -> Run:
        if self._back:
            run = self._back.popleft()
            if run.count > most:
                self._back.appendleft(self._window.split(run, run.start + most))
            return run
        run = Run(self._taken, self._source.take(most))
        self._taken += run.count
        self._window.add(run)
        return run

    def _wants_input(self) -> bool:
        return (
            self._phase is _Phase.RUNNING
            and not self._source.exhausted
            and self._source.available == 0
            and self._window.room > 0
            and (len(self._hands) < self._workers or any(hand.room() for hand in self._hands))
        )

    def _watch_source(self, wanted: bool) -> None:
        fd = self._source.fileno()
        if fd is None:
            if wanted:
                self._fill()
                self._hurry = True
        elif wanted and self._watching is None:
            self._poll.register(fd, select.POLLIN)
            self._watching = fd
        elif not wanted and self._watching is not None:
            self._poll.unregister(self._watching)
            self._watching = None

    def _fill(self) -> None:
        try:
            self._source.fill()
        except Exception as error:
            self._source_error = error
            self._phase = max(self._phase, _Phase.DRAINING)
        else:
            if self._source.exhausted:
                self._watch_source(wanted=False)

    def _start(self) -> None:
        hand = Hand(self._context, self._function, self._window, **self._keep)
        self._started += 1
        self._hands.append(hand)
        self._poll.register(hand.sentinel, select.POLLIN)
        self._poll.register(hand.results_fd, select.POLLIN)

    # -- what comes back ---------------------------------------------------------------------------------

    def _wait(self) -> dict[int, int]:
        now = monotonic()
        if self._hurry:
            return dict(self._poll.poll(0))
        if self._collected and now - self._collected < _PAUSE_SECONDS:
            sleep(_PAUSE_SECONDS - (now - self._collected))
            now = monotonic()
        seconds = min(_LOOK_SECONDS, self._tick or _LOOK_SECONDS)
        if self._workers > 1:
            for hand in self._hands:
                overdue = hand.overdue(now)
                if overdue >= 0:
                    self._back.extend(hand.take_back())
                    self._hurry = True
                elif overdue > -seconds:
                    seconds = -overdue
        return dict(self._poll.poll(0 if self._hurry else seconds * 1000 + 1))

    def _collect(self, found: dict[int, int]) -> Iterator[Event]:
        total = 0
        for hand in self._hands:
            if hand.results_fd in found:
                total += yield from self._collect_from(hand)
        self._collected = monotonic() if 0 < total < _TRICKLE else 0.0
        values = self._window.release()
        if values:
            yield Results(values)

    def _collect_from(self, hand: Hand) -> Iterator[Event]:
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
                self._back.extend(hand.take_back())

    def _supervise(self, found: dict[int, int]) -> Iterator[Event]:
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
        self._back.extendleft(reversed(hand.take_back()))
        self._deaths += 1
        self._deaths_in_a_row += 1
        missing = hand.outstanding
        culprit = hand.bury()
        self._remove(hand)
        self._lost += missing
        number, item = culprit or (None, None)
        death = WorkerDied(hand.pid, exitcode, number, item)
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
        self._poll.unregister(hand.sentinel)
        self._poll.unregister(hand.results_fd)
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
        fd, self._wake_fd = self._wake_fd, _ANY
        os.close(fd)

    def _wake(self) -> None:
        if getattr(self, "_wake_fd", _ANY) != _ANY:
            with contextlib.suppress(OSError):
                os.eventfd_write(self._wake_fd, 1)
