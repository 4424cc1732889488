"""Hand: one worker process, as the run that owns it sees it."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
from collections import deque
from collections.abc import Callable
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from time import monotonic
from typing import Any, cast

from ..errors import Empty
from ..queue import Queue
from .crash_note import CrashNote
from .events import Failure
from .run import GAP, Run, weigh
from .window import Window
from .worker import FAILED, PLAIN, STOP, pack, work

__all__ = ["Hand"]

# A worker is given this many seconds of work in advance: long against the time that the parent
# needs to bring more, short against what a person waits for a drain.
_AHEAD_SECONDS = 0.02
_AHEAD_ITEMS = 8192
_AHEAD_BYTES = 4 * 1024 * 1024
_AT_A_TIME = 16384
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Hand:
    """A worker process, its two queues, and the items that it has.

    Args:
        context: where processes come from.
        function: what the worker applies to each item.
        window: where results go.
        stdout_to_stderr: what the function prints goes to standard error.
        tracebacks: failures carry the formatted traceback.
    """

    def __init__(
        self,
        context: BaseContext,
        function: Callable[[Any], Any],
        window: Window,
        *,
        stdout_to_stderr: bool,
        tracebacks: bool,
    ) -> None:
        self._tasks: Queue[Any] = Queue()
        self._results: Queue[Any] = Queue()
        self.note = CrashNote()
        self._window = window
        self._runs: deque[Run] = deque()
        self.outstanding = 0
        """Items given and without a result."""
        self.ready = False
        """Whether it has said that it is there."""
        self._seconds: float | None = None  # per item, as lately measured
        self._since = monotonic()  # the work on the next result began then, or later
        self._finished = 0
        self._result_bytes = 0
        # typeshed has Process in the subclasses of BaseContext only.
        self.process: BaseProcess = cast("Any", context).Process(
            target=work, args=(function, self._tasks, self._results, self.note, stdout_to_stderr, tracebacks)
        )
        # A Ctrl-C before the child has its own handlers would run ours in it.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            self.process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        assert self.process.pid is not None  # it is started
        self.pid = self.process.pid
        self.sentinel = self.process.sentinel
        self.results_fd = self._results._reader.fileno()  # pyright: ignore[reportPrivateUsage]

    def room(self) -> int:
        """How many items to give it now; 0 while it has enough."""
        if not self.ready:
            return 0
        enough = 1
        if self._seconds is not None:
            enough = min(1 + int(_AHEAD_SECONDS / max(self._seconds, 1e-9)), _AHEAD_ITEMS)
            enough = min(enough, 1 + _AHEAD_BYTES * self._finished // (self._result_bytes + 1))
        # In larger portions, as long as it does not run dry.
        return enough - self.outstanding if self.outstanding <= enough // 2 else 0

    def give(self, run: Run) -> None:
        """Hand a run to the worker."""
        if not self.outstanding:
            self._since = monotonic()
        self._runs.append(run)
        self.outstanding += run.count
        numbers = range(run.start, run.start + run.count)
        if PLAIN.issuperset(map(type, run.items)):
            self._tasks.put_many(zip(numbers, run.items, strict=True))
        else:
            self._tasks.put_many(map(pack, numbers, run.items))

    def collect(self) -> tuple[int, list[tuple[int, Any, Failure]]]:
        """Take the results that are there.

        Returns:
            How many there were, and the failures among them: place in the input, item, failure.
        """
        count = 0
        failures: list[tuple[int, Any, Failure]] = []
        with contextlib.suppress(Empty):
            while True:
                batch = self._results.get_many(_AT_A_TIME, block=False)
                if not self.ready:
                    self.ready = True
                    self._since = monotonic()
                    del batch[0]  # the greeting
                count += len(batch)
                self._distribute(batch, failures)
                if len(batch) < _AT_A_TIME // 2:
                    break
        if count:
            self._measure(count)
        return count, failures

    def _distribute(self, batch: list[Any], failures: list[tuple[int, Any, Failure]]) -> None:
        at = 0
        while at < len(batch):
            run = self._runs[0]
            raw = batch[at : at + run.missing]
            at += len(raw)
            gaps = 0
            if PLAIN.issuperset(map(type, raw)):
                values, weight = raw, weigh(raw)
            else:
                values, weight = list[Any](), 0
                number = run.start + len(run.results)
                for offset, message in enumerate(raw):
                    value, its_weight = _unwrap(message)
                    if isinstance(value, Failure):
                        failures.append((number + offset, run.item(number + offset), value))
                        value = GAP
                        gaps += 1
                    values.append(value)
                    weight += its_weight
            run.add(values, gaps, weight)
            self._window.grown(run, weight)
            self.outstanding -= len(raw)
            self._result_bytes += weight
            if not run.missing:
                self._runs.popleft()

    def _measure(self, count: int) -> None:
        now = monotonic()
        self._finished += count
        seconds = (now - self._since) / count
        self._since = now
        # Quick to believe that items are quick, slow to believe that they are slow: too little in
        # advance leaves the worker idle, and too much can be taken back.
        if self._seconds is not None and seconds > self._seconds:
            seconds = (seconds + self._seconds) / 2
        self._seconds = seconds

    def overdue(self, now: float, patience: float) -> float:
        """Seconds beyond `patience` for which it has been busy with one item while others wait behind it.

        Negative: how long until then; -inf: nothing waits. An item that is as slow as those before it
        is expected to be gets more patience.
        """
        if self.outstanding < 2 or not self._results.empty():
            return float("-inf")
        return now - self._since - max(patience, 4 * (self._seconds or 0.0))

    def take_back(self) -> list[Run]:
        """Take back what it has not begun: runs, to be given to somebody else."""
        numbers: list[int] = []
        with contextlib.suppress(Empty):
            while True:
                numbers += [
                    task[0] for task in self._tasks.get_many(_AT_A_TIME, block=False) if task is not STOP
                ]
        # It may have taken some while we did, so they need not be the last ones; but they are in the order
        # of its runs, each of which is in one piece there.
        back: list[Run] = []
        kept: deque[Run] = deque()
        at = 0
        for whole in self._runs:
            run: Run | None = whole
            while run is not None and at < len(numbers) and run.start <= numbers[at] < run.start + run.count:
                first = numbers[at]
                until = first
                while at < len(numbers) and numbers[at] == until and until < run.start + run.count:
                    at += 1
                    until += 1
                if first > run.start:
                    kept.append(run)
                    run = self._window.split(run, first)
                after = self._window.split(run, until) if until < run.start + run.count else None
                back.append(run)
                run = after
            if run is not None:
                kept.append(run)
        self._runs = kept
        self.outstanding -= len(numbers)
        if self._runs and not self._runs[0].missing:  # the split left no item without a result
            self._window.grown(self._runs.popleft(), 0)
        return back

    def bury(self) -> tuple[int, Any] | None:
        """The place and the item that it died on, which then counts as failed; None: it had none.

        To be called after `collect` and `take_back`, when the process is dead.
        """
        culprit: tuple[int, Any] | None = None
        for run in self._runs:
            number = run.start + len(run.results)
            culprit = culprit or (number, run.item(number))
            missing = run.missing
            run.add([GAP] * missing, missing, 0)
            self._window.grown(run, 0)
        self._runs.clear()
        self.outstanding = 0
        return culprit

    def dismiss(self) -> None:
        """Tell it to leave when it has done what it has."""
        self._tasks.put(STOP)

    def kill(self) -> None:
        """End it at once, together with the programs that it started."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):  # not in a group of its own yet, or gone
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()

    def close(self) -> None:
        """Wait for the end of a process that is ending, and let go of what belongs to it."""
        self.process.join()
        self.process.close()
        self.note.close()


def _unwrap(message: Any) -> tuple[Any, int]:
    if type(message) in PLAIN:
        return message, weigh([message])
    if message[0] == FAILED:
        return Failure(*message[1:]), 0
    try:
        return pickle.loads(message[1]), len(message[1])
    except Exception as error:
        return Failure(type(error).__name__, f"the result cannot be unpickled: {error}", "", ""), 0
