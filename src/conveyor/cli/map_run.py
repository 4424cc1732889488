"""MapRun: one `conveyor map`, from standard input to standard output, with its signals and messages."""

from __future__ import annotations

import errno
import os
import signal
from contextlib import closing
from types import FrameType
from typing import Literal

from ..errors import WorkerPoolBroken
from ..pipeline import (
    CrashLoop,
    Event,
    Failure,
    FewerWorkers,
    ItemFailed,
    LineSource,
    OutletClosed,
    Pipeline,
    PipelineRun,
    Results,
    WorkerDied,
    WorkerStuck,
)
from .exit_codes import CommandError, ExitCode
from .line_function import LineFunction
from .map_figures import Figures, MapFigures
from .target import TargetError
from .terminal import Terminal, short

__all__ = ["MapRun"]

_STDIN, _STDOUT, _STDERR = 0, 1, 2
_FORCED = {signal.SIGINT: ExitCode.INTERRUPTED, signal.SIGTERM: ExitCode.TERMINATED}
_AGAIN = {signal.SIGINT: "Ctrl-C again", signal.SIGTERM: "a second SIGTERM"}


class _Forced(BaseException):
    """Raised by the handler of the second signal, wherever we are: even in a write that blocks."""


class MapRun:
    """The engine, joined to this process's standard streams and signals.

    The arguments are those of the verb, see `conveyor map --help`.
    """

    def __init__(
        self,
        target: str,
        *,
        workers: int,
        jsonl: bool,
        ordered: bool,
        halt: Literal["never", "soon", "now"],
        start_method: str | None,
        window: int,
        max_crashes: int | None,
        tracebacks: bool,
        progress: bool | None,
    ) -> None:
        function = LineFunction(target, jsonl)
        try:
            function.load()
        except TargetError as error:
            raise CommandError(str(error)) from None
        self._source = LineSource(_STDIN)
        for fd, name in ((_STDIN, "input"), (_STDOUT, "output")):
            try:
                os.fstat(fd)
            except OSError:
                raise CommandError(f"standard {name} is closed") from None
        self._size = self._source.size
        self._to_terminal = os.isatty(_STDOUT)
        on_terminal = _is_terminal(_STDERR)
        self._loud = on_terminal if progress is None else progress
        self._terminal = Terminal(progress=self._loud)
        if os.isatty(_STDIN) and on_terminal:
            self._terminal.say("conveyor map: reading items from the terminal, one a line; Ctrl-D ends them")
        self._jsonl = jsonl
        self._signalled: signal.Signals | None = None
        self._forced: signal.Signals | None = None
        self._verdict = ""
        self._halt = halt
        stage = Pipeline(self._source, name="conveyor map").map(
            function, workers=workers, ordered=ordered, on_error=self._item_failed, name=target
        )
        self._run = PipelineRun(
            stage,
            jobs=workers,
            start_method=start_method,  # type: ignore[arg-type]
            signals=False,
            streams=True,
            outlet=_STDOUT,
            stdout_to_stderr=True,
            max_items=window,
            crash_limit=max_crashes,
            tick=0.1 if self._terminal.has_progress else None,
        )
        self._tracebacks = tracebacks
        self._engine = self._run.engine
        self._figures = MapFigures(self._run)

    def run(self) -> int:
        """Run to the end; returns the exit code."""
        old = {number: signal.signal(number, self._on_signal) for number in _FORCED}
        code: int | None = None
        try:
            code = self._events()
        except _Forced:
            pass
        finally:
            for number, handler in old.items():
                signal.signal(number, handler)
        # Also if it was raised where Python ignores exceptions, in a finalizer for one.
        if self._forced is not None:
            code = _FORCED[self._forced]
        self._summary(forced=code)
        if code is not None:
            return code
        report = self._figures.now()
        return ExitCode.WORK_FAILED if report.failed or report.lost or self._verdict else ExitCode.OK

    def _item_failed(self, failure: Failure) -> None:
        if self._halt == "now":
            self._engine.halt()
        elif self._halt == "soon":
            self._engine.finish_begun()

    def _events(self) -> int | None:
        """Act on each event; returns the exit code if it is not to be had from the figures."""
        with closing(self._run.events()) as events:
            try:
                for event in events:
                    if isinstance(event, Results):
                        self._write(b"".join(event.values))
                    elif isinstance(event, CrashLoop):
                        self._crash_loop(event)
                    else:
                        self._tell(event)
                    if self._terminal.has_progress:
                        report = self._figures.now()
                        self._terminal.draw(report, self._fraction(report))
            except _OutputFailed as failed:
                self._engine.halt()
                if failed.reader_left:
                    return None
                self._verdict = f"cannot write the results: {failed}"
            except WorkerPoolBroken as error:
                self._verdict = self._verdict or str(error)
                return ExitCode.WORKER_LOST
            except OSError as error:  # of the input; any other has been named above
                self._verdict = f"cannot read the items: {error.strerror or error}"
                return ExitCode.USAGE
        return None

    # -- signals -------------------------------------------------------------------------------------

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        which = signal.Signals(number)
        if self._signalled is not None:
            for other in _FORCED:
                signal.signal(other, signal.SIG_IGN)  # the workers are being killed; it takes no time
            self._forced = which
            self._engine.stop()
            raise _Forced
        self._signalled = which
        count = self._engine.drain()
        items = "1 item" if count == 1 else f"{count:,} items"
        self._terminal.say(
            f"conveyor map: {which.name}: finishing {items} in flight; {_AGAIN[which]} stops now"
        )

    # -- output --------------------------------------------------------------------------------------

    def _write(self, data: bytes) -> None:
        if self._to_terminal:
            self._terminal.make_way()
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(_STDOUT, view) :]
        except OSError as error:
            raise _OutputFailed(error) from None

    def _tell(self, event: Event) -> None:
        say = self._terminal.say
        if isinstance(event, ItemFailed):
            failure = event.failure
            if failure.kind == "WorkerLost":
                return  # reported with the worker's death
            say(f"conveyor map: item {failure.number + 1:,} {self._name(failure.item)}: {failure}")
            if self._tracebacks and failure.traceback:
                say(failure.traceback.rstrip())
        elif isinstance(event, WorkerDied):
            if event.number is None:
                on = "with no item"
            else:
                on = f"on item {event.number + 1:,} {self._name(event.item)}, which counts as failed"
            say(f"conveyor map: worker {event.pid} {event.fate} {on}")
            if event.calls:
                say(f"  at {', called from '.join(event.calls)}")
        elif isinstance(event, WorkerStuck):
            say(
                f"conveyor map: worker {event.pid} did not leave within {event.seconds:g} s "
                "after its last item, and was killed"
            )
        elif isinstance(event, FewerWorkers):
            say(f"conveyor map: no more than {event.workers} workers could be started: {event.error}")
        elif isinstance(event, OutletClosed):
            raise _OutputFailed(BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)))

    def _crash_loop(self, event: CrashLoop) -> None:
        self._verdict = (
            f"giving up: {event.deaths} workers died one after another and none finished an item; "
            f"the last {event.last.fate}"
        )

    def _name(self, item: bytes) -> str:
        return short(item)

    def _fraction(self, report: Figures) -> float | None:
        if not self._size:
            return None
        # Of the part that has been read, the share that has been dealt with.
        finished = (report.done + report.failed + report.lost) / max(report.taken, 1)
        return min(self._source.bytes_read / self._size, 1.0) * min(finished, 1.0)

    def _summary(self, forced: int | None) -> None:
        self._terminal.make_way()
        report = self._figures.now()
        if self._verdict:
            self._terminal.say(f"conveyor map: {self._verdict}")
        usual = not (report.failed or report.lost or self._verdict or self._signalled or report.deaths)
        if self._loud or not usual:
            self._terminal.say(f"conveyor map: {_figures(report)}{self._ending(report, forced)}")

    def _ending(self, report: Figures, forced: int | None) -> str:
        if forced in (ExitCode.INTERRUPTED, ExitCode.TERMINATED):
            return "; stopped at once"
        if self._signalled is not None and not self._source.exhausted:
            return f"; the input was used up to line {report.taken - report.not_begun:,}"
        return ""


class _OutputFailed(Exception):
    def __init__(self, error: OSError) -> None:
        super().__init__(error.strerror or str(error))
        self.reader_left = error.errno == errno.EPIPE


def _figures(report: Figures) -> str:
    words = [f"{report.done:,} done"]
    for count, word in (
        (report.failed, "failed"),
        (report.lost, "lost with their worker" if report.lost != 1 else "lost with its worker"),
        (report.in_flight, "cut off"),
        (report.pending, "finished but not printed"),
        (report.not_begun, "read but not begun"),
    ):
        if count:
            words.append(f"{count:,} {word}")
    return f"{', '.join(words)} in {report.seconds:,.1f} s ({report.rate:,.0f}/s)"


def _is_terminal(fd: int) -> bool:
    try:
        return os.isatty(fd)
    except OSError:
        return False
