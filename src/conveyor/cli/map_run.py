"""MapRun: one `conveyor map`, from standard input to standard output, with its signals and messages."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable
from contextlib import closing
from types import FrameType
from typing import Any

from ..errors import WorkerPoolBroken
from ..pipeline import (
    CrashLoop,
    Event,
    Failure,
    FewerWorkers,
    ItemFailed,
    ItemRetried,
    LineSource,
    OutletClosed,
    Pipeline,
    PipelineRun,
    Results,
    WorkerDied,
    WorkerStuck,
)
from ..pipeline.base.phase import Phase
from .exit_codes import CommandError, ExitCode
from .joblog import Joblog
from .map_blocks import BlockSource
from .map_figures import Figures, MapFigures
from .map_item import MapItem
from .map_options import MapOptions
from .map_output import MapOutput
from .map_source import ItemLineSource, ItemMaker, RowSource
from .map_work import CommandWork, DryRun, FunctionWork, Work
from .shell.outcome import CommandFailed
from .shell.template import Template
from .terminal import Terminal, short

__all__ = ["MapRun"]

_STDIN, _STDOUT, _STDERR = 0, 1, 2
_FORCED = {signal.SIGINT: ExitCode.INTERRUPTED, signal.SIGTERM: ExitCode.TERMINATED}
_AGAIN = {signal.SIGINT: "Ctrl-C again", signal.SIGTERM: "a second SIGTERM"}


class _Forced(BaseException):
    """Raised by the handler of the second signal, wherever we are: even in a write that blocks."""


class MapRun:
    """The engine, joined to this process's standard streams and signals.

    Args:
        options: what the command line says.
    """

    def __init__(self, options: MapOptions) -> None:
        self._options = options
        self._work = self._make_work()
        for fd, name in ((_STDIN, "input"), (_STDOUT, "output")):
            try:
                os.fstat(fd)
            except OSError:
                raise CommandError(f"standard {name} is closed") from None
        self._joblog = (
            Joblog(
                options.joblog,
                goes_on=options.resume or options.resume_failed,
                only_good=options.resume_failed,
            )
            if options.joblog is not None and not options.dry_run
            else None
        )
        self._maker = ItemMaker(
            options.columns, options.group or 1, self._is_wanted if self._joblog else None
        )
        self._source = self._make_source()
        self._size = self._source.size if isinstance(self._source, LineSource) else None
        self._to_terminal = os.isatty(_STDOUT)
        on_terminal = _is_terminal(_STDERR)
        self._loud = on_terminal if options.progress is None else options.progress
        self._terminal = Terminal(progress=self._loud)
        if options.inputs.only_file == "-" and os.isatty(_STDIN) and on_terminal:
            self._terminal.say("conveyor map: reading items from the terminal, one a line; Ctrl-D ends them")
        self._signalled: signal.Signals | None = None
        self._forced: signal.Signals | None = None
        self._verdict = ""
        self._output = (
            MapOutput(self._work.shown, self._make_tag(), self._joblog, options.results, self._write)
            if options.outcomes
            else None
        )
        stage = Pipeline(self._source, name="conveyor map").map(
            self._work.function,
            **self._work.place(options.workers, options.timeout),
            ordered=options.ordered,
            on_error="yield" if options.outcomes else self._item_failed,
            retries=options.retries,
            backoff=0,
            name=self._work.name,
        )
        self._run = PipelineRun(
            stage,
            jobs=options.workers,
            start_method=options.start_method,  # type: ignore[arg-type]
            signals=False,
            streams=True,
            outlet=_STDOUT,
            stdout_to_stderr=True,
            max_items=options.window,
            crash_limit=options.max_crashes,
            tick=0.1 if self._terminal.has_progress else None,
        )
        self._tracebacks = options.tracebacks
        self._engine = self._run.engine
        self._figures = MapFigures(self._run, self._output)

    def _make_work(self) -> Work:
        options = self._options
        work: Work
        if options.command:
            work = CommandWork(
                options.command,
                options.shell,
                options.braces,
                options.timeout,
                options.ungroup,
                options.pipe is not None,
            )
        else:
            work = FunctionWork(options.target, options.jsonl, options.outcomes)
        return DryRun(work) if options.dry_run else work

    def _make_source(self) -> LineSource | RowSource:
        inputs = self._options.inputs
        if inputs.only_file is None:
            return RowSource(inputs.rows(), self._maker)
        fd = inputs.open_only()
        if self._options.pipe is not None:
            return BlockSource(
                fd, self._maker, self._options.pipe, self._options.group or 0, inputs.separator
            )
        return ItemLineSource(fd, self._maker, inputs.separator) if self._options.outcomes else LineSource(fd)

    def _make_tag(self) -> Callable[[MapItem], bytes] | None:
        text = self._options.tag
        if text is None:
            return None
        if not text:
            return lambda item: item.shown
        try:
            template = Template(text, braces=self._options.braces, adds=False)
        except ValueError as error:
            raise CommandError(f"--tagstring: {error}") from None
        return lambda item: template.filled(item.arguments, item.number, 1)

    def _is_wanted(self, item: MapItem) -> bool:
        assert self._joblog is not None
        return not (self._joblog.done and self._joblog.has(item.number, self._work.shown(item)))

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
        if self._engine.phase >= Phase.HALTED:
            self._work.stop()
            self._work.wait_gone()
        if self._joblog is not None:
            self._joblog.close()
        self._summary(forced=code)
        if code is not None:
            return code
        report = self._figures.now()
        halt = self._options.halt
        if halt.reached and halt.what == "success":
            return ExitCode.OK
        return ExitCode.WORK_FAILED if report.failed or report.lost or self._verdict else ExitCode.OK

    def _item_failed(self, failure: Failure) -> None:
        self._ended(failed=True)

    def _ended(self, failed: bool) -> None:
        """An item has ended for good: see whether the run is to."""
        when = self._options.halt.note(failed)
        if when == "now":
            self._work.stop()
            self._engine.halt()
        elif when == "soon":
            self._engine.finish_begun()

    def _take(self, values: list[Any]) -> None:
        if self._output is None:
            self._write(b"".join(values))
        else:
            self._output.take(values)
        if self._options.halt.what:
            for value in values:
                if not isinstance(value, Failure):
                    self._ended(failed=False)

    def _events(self) -> int | None:
        """Act on each event; returns the exit code if it is not to be had from the figures."""
        with closing(self._run.events()) as events:
            try:
                for event in events:
                    if isinstance(event, Results):
                        self._take(event.values)
                    elif isinstance(event, CrashLoop):
                        self._crash_loop(event)
                    else:
                        self._tell(event)
                    if self._terminal.has_progress:
                        report = self._figures.now()
                        self._terminal.draw(report, self._fraction(report))
            except _OutputFailed as failed:
                self._work.stop()
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
            self._work.stop()
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
            if self._output is not None:
                self._ended(failed=True)
            if failure.kind == "WorkerLost":
                return  # reported with the worker's death
            outcome = failure.pickled.outcome if isinstance(failure.pickled, CommandFailed) else None
            text = f"{outcome or failure}{_times(failure.attempts)}"
            say(
                f"conveyor map: item {self._number(failure.number, failure.item):,} {self._name(failure.item)}: {text}"
            )
            if self._tracebacks and failure.traceback and outcome is None:
                say(failure.traceback.rstrip())
        elif isinstance(event, ItemRetried):
            if isinstance(event.failure.pickled, CommandFailed):
                event.failure.pickled.outcome.close()
        elif isinstance(event, WorkerDied):
            if event.number is None:
                on = "with no item"
            else:
                number = self._number(event.number, event.item)
                then = "which is tried again" if self._options.retries else "which counts as failed"
                on = f"on item {number:,} {self._name(event.item)}, {then}"
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

    @staticmethod
    def _name(item: bytes | MapItem) -> str:
        if isinstance(item, MapItem):
            return f"of {len(item.block):,} bytes" if item.block else short(item.shown)
        return short(item)

    @staticmethod
    def _number(number: int, item: bytes | MapItem) -> int:
        return item.number if isinstance(item, MapItem) else number + 1

    def _fraction(self, report: Figures) -> float | None:
        if not self._size or not isinstance(self._source, LineSource):
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
            before = f", {self._maker.left_out:,} done before" if self._maker.left_out else ""
            self._terminal.say(f"conveyor map: {_figures(report)}{before}{self._ending(report, forced)}")

    def _ending(self, report: Figures, forced: int | None) -> str:
        if forced in (ExitCode.INTERRUPTED, ExitCode.TERMINATED):
            return "; stopped at once"
        if self._signalled is not None and not self._source.exhausted:
            used = report.taken - report.not_begun + self._maker.left_out
            return f"; the input was used up to {'line' if self._output is None else 'item'} {used:,}"
        return ""


class _OutputFailed(Exception):
    def __init__(self, error: OSError) -> None:
        super().__init__(error.strerror or str(error))
        self.reader_left = error.errno == errno.EPIPE


def _times(attempts: int) -> str:
    return f" (tried {attempts} times)" if attempts > 1 else ""


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
