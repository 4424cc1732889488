"""PipelineRun: one run of a pipeline, with its signals, its dead letters, its progress and its report."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Literal

from .._processors import processors
from ..errors import PipelineError
from .base.events import Event, Results
from .base.failure import Failure
from .checkpoint.acknowledger import Acknowledger
from .checkpoint.checkpoint import Checkpoint, CheckpointStore
from .checkpoint.origin_counter import OriginCounter
from .engine.engine import Engine, Phase
from .graph.checks import check_count
from .graph.graph import UNNAMED, HasGraph
from .host.hearing import Hearing
from .planning.briefing import brief_workers, check_seed, voice_of
from .planning.kept_places import KeptPlaces
from .planning.open_sources import OpenSources
from .planning.planner import Plan, check
from .planning.resuming import digests_of, open_store
from .report.collect import make_report
from .report.report import Report
from .report.tally import Tally
from .report.timeline import Timeline
from .sinks.events import EventSink
from .sinks.sink import Sink
from .snapshot.publisher import FIRST_SECONDS, Publisher
from .supervise.real_world import RealWorld
from .supervise.world import World

if TYPE_CHECKING:
    from .progress.progress import Progress
    from .snapshot.run_snapshot import RunSnapshot

__all__ = ["PipelineRun", "Running"]

_TICK_SECONDS = 0.1


class _Forced(BaseException):
    """Raised by the handler of the second signal."""


class PipelineRun:
    """A run. The arguments are those of `Pipeline.run`.

    Args:
        streams: somebody iterates over the results.
        outlet, tick: see `Engine`.
        stdout_to_stderr: see `RealWorld`.
        world: where it runs; None: on the machine.
        store: where it keeps what is done, in the place of a file that `resume` names.
        max_items: items that a stage may hold.
        crash_limit: so many workers of a stage may die in a row; None: three for each, and at least ten.
    """

    def __init__(
        self,
        pipeline: HasGraph,
        *,
        jobs: int | None = None,
        progress: Any = None,
        start_method: Literal["fork", "spawn", "forkserver"] | None = None,
        halt: str = "now",
        max_failures: int | str | None = None,
        dead_letters: Any = None,
        resume: str | Path | None = None,
        signals: bool = True,
        seed: int | None = None,
        logs: bool = True,
        streams: bool = False,
        outlet: int | None = None,
        stdout_to_stderr: bool = False,
        max_items: int | None = None,
        crash_limit: int | None = None,
        tick: float | None = None,
        world: World | None = None,
        store: CheckpointStore | None = None,
    ) -> None:
        graph = self.graph = pipeline.graph
        check(graph, start_method, resume)
        check_seed(seed)
        if halt not in ("now", "soon"):
            raise PipelineError(f"halt is {halt!r}; it must be 'now' or 'soon'")
        if jobs is not None:
            check_count("the run", "jobs", jobs, 1)
        self.jobs = jobs or processors()
        self._signals = signals and threading.current_thread() is threading.main_thread()
        self.signalled: signal.Signals | None = None
        self._forced = False
        self._showing = self._left = False
        self._unsaid = ""
        self.tally = Tally(dead_letters)
        self.sinks: list[Sink] = []
        self.timeline = Timeline()

        world = world or RealWorld(start_method, stdout_to_stderr)
        if resume is not None:
            store = open_store(resume, graph)
        leases = store is None and any(one.is_leased for one in graph.every_source())
        self._acknowledger = Acknowledger(world.now()) if leases else None
        checkpoint = Checkpoint(store, world.now(), digests_of(graph)) if store is not None else None
        self.checkpoint = checkpoint
        from .progress.make_display import make_display

        self._display = make_display(progress, graph.name)
        self._publisher = (
            Publisher(
                "" if graph.name == UNNAMED else graph.name,
                graph.place,
                checkpoint.resumed if checkpoint is not None else 0,
                self._run_snapshot,
            )
            if world.is_seen
            else None
        )
        self.engine = Engine(
            world=world,
            halt_now=halt == "now",
            max_failures=_parse_most(max_failures),
            tick=tick or (_TICK_SECONDS if self._display is not None else None),
            outlet=outlet,
            checkpoint=checkpoint or self._acknowledger,
            jobs=self.jobs,
            dead_letter=self._dead_letter,
            show=self._publisher.show if self._publisher is not None else None,
            show_after=FIRST_SECONDS,
            said=Hearing().hear,
        )
        try:
            self._build(streams, max_items, crash_limit)
            drawn_over = self._display is not None and self._display.draws
            brief_workers(self.engine.works, seed, voice_of(start_method, logs, stdout_to_stderr, drawn_over))
        except BaseException:
            self.engine.poller.close()
            with contextlib.suppress(Exception):
                for sink in self.sinks:
                    sink.conclude(whole=False)
            if checkpoint is not None:
                checkpoint.abandon()
            raise

    def _build(self, streams: bool, max_items: int | None, crash_limit: int | None) -> None:
        engine, checkpoint, acknowledger = self.engine, self.checkpoint, self._acknowledger
        opened = OpenSources(
            self.graph,
            engine,
            lambda given, leased: engine.workforce.source(given, engine.poller.wake, leased),
            checkpoint,
            acknowledger,
        )
        self.source = opened.open(self.graph)
        self._news = EventSink(lambda values: engine.tell(Results(values)))
        kept = KeptPlaces(checkpoint, leased=acknowledger is not None)
        plan = Plan(engine, self.jobs, opened.open, leased=acknowledger is not None, kept=kept)
        self.sinks = plan.sinks
        if max_items is not None:
            plan.max_items = max_items
        engine.adopt(plan.make(self.graph, self.source, self._news if streams else None))
        for node in engine.works:
            node.pool.crash_limit = crash_limit or node.pool.crash_limit
        self.plan = plan
        if acknowledger is not None:
            acknowledger.settle_for(opened.leased, plan.flush, plan.confirm, engine.poller.wake)
        if checkpoint is not None:
            checkpoint.keep(
                plan.make_sure,
                lambda: kept.state(plan.reduces),
                kept.deferral.release if kept.deferral is not None else lambda _: None,
            )
            kept.restore(plan.reduces)

    # -- running --------------------------------------------------------------------------------------------

    def to_the_end(self) -> Report:
        """Run it; returns the report, or raises what ended it, with the report as `error.report`."""
        numbers = (signal.SIGINT, signal.SIGTERM) if self._signals else ()
        old = {number: signal.signal(number, self._on_signal) for number in numbers}
        error: BaseException | None = None
        try:
            for _ in self.events():
                pass
        except BaseException as raised:
            error = raised
        finally:
            for number, handler in old.items():
                signal.signal(number, handler)
        # Also if it was raised where Python ignores exceptions, in a finalizer for one.
        if self._forced:
            error = (
                KeyboardInterrupt() if self.signalled is signal.SIGINT else SystemExit(128 + signal.SIGTERM)
            )
            self._tell_partial(error)
        report = self.report()
        if self._display is not None:
            self._display.end(self.progress, report, error)
        if error is not None:
            error.report = report  # type: ignore[attr-defined]
            raise error
        return report

    def events(self) -> Generator[Event, None, None]:
        """Run it, and tell what happens."""
        try:
            try:
                with closing(self.engine.run()) as events:
                    for event in events:
                        self._note(event)
                        yield event
            except BaseException as error:
                if self._acknowledger is not None and isinstance(error, GeneratorExit):
                    # Somebody iterated over the results, and may not have seen the last.
                    self._acknowledger.abandon()
                with contextlib.suppress(Exception):  # what ended the run is the news
                    for sink in self.sinks:
                        sink.hurry()
                    self._close()
                self._tell_partial(error)
                raise
            if self._left and self._acknowledger is not None:
                self._acknowledger.abandon()
            whole = not self.engine.phase and all(source.has_ended for source in self.engine.sources)
            try:
                self._close(whole)
            except BaseException as error:
                self._tell_partial(error)
                raise
            if whole:
                # A queue has not ended before nobody has any of its items but this run.
                for sink in self.plan.told:
                    sink.tell_end()
        finally:
            if self._publisher is not None:
                self._publisher.close()

    def values(self) -> Iterator[Any]:
        """Run it, and give what comes out."""
        with closing(self.events()) as events:
            for event in events:
                if isinstance(event, Results):
                    yield from event.values

    def leave(self) -> None:
        """Whoever iterates over the results has left, and may not have seen the last: end now. From any thread."""
        self._left = True
        self.engine.halt()

    def give_up(self) -> None:
        """It will not be run: let go of what it has."""
        self.engine.workforce.end_processes()
        self.engine.poller.close()
        with contextlib.suppress(Exception):
            self._close()

    def _tell_partial(self, error: BaseException) -> None:
        """Note on what ended the run where its results lie."""
        for sink in self.sinks:
            if sink.partial is not None:
                error.add_note(f"what was written until then is in {sink.partial}")

    def _close(self, whole: bool = False) -> None:
        if self._publisher is not None:
            self._publisher.show_the_end()
        error: BaseException | None = None
        # The tracker first: it flushes the sinks.
        counter = self.checkpoint or self._acknowledger
        parts: list[OriginCounter | Sink] = [] if counter is None else [counter]
        for part in [*parts, *self.sinks]:
            try:
                part.close()
            except Exception as raised:
                error = error or raised
        for sink in self.sinks:
            try:
                sink.conclude(whole and error is None)
            except Exception as raised:
                error = error or raised
        if error is not None:
            raise error

    def _note(self, event: Event) -> None:
        self.tally.note(event)
        self.timeline.sample(self.engine)
        if self._display is not None:
            self._showing = True
            try:
                self._display.show(self.progress, event)
            finally:
                self._showing = False
            if self._unsaid:
                text, self._unsaid = self._unsaid, ""
                self._display.say(text)

    def _dead_letter(self, failure: Failure, origin: Any) -> None:
        """Put an item that failed for good where dead letters go: those of its queue, unless the run has others."""
        letters = None if self.tally.has_target else self._acknowledger
        if letters is not None and letters.reject(origin, str(failure)):
            self.tally.dead += 1
        else:
            self.tally.dead_letter(failure)

    def progress(self) -> Progress:
        """How far it is."""
        from .progress.progress import progress_of

        return progress_of(self.engine)

    def _run_snapshot(self, about: dict[str, Any]) -> RunSnapshot:
        from .snapshot.run_snapshot import RunSnapshot

        return RunSnapshot(self.engine, self.tally, about)

    def report(self) -> Report:
        """The figures at this moment, or of the end."""
        return make_report(
            self.engine,
            self.tally,
            self.timeline,
            name=self.graph.name,
            resumed=self.checkpoint.resumed if self.checkpoint is not None else 0,
            interrupted=self.signalled.name if self.drained and self.signalled else "",
            result=self.plan.last.result if self.plan.last is not None else None,
            partial=tuple(sink.partial for sink in self.sinks if sink.partial is not None),
        )

    def signal(self, number: int) -> None:
        """A signal has come, of those that finish what is in flight, and the second time end it at once."""
        with contextlib.suppress(_Forced):
            self._on_signal(number, None)

    # -- signals ----------------------------------------------------------------------------------------------

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self.signalled is not None:
            for other in (signal.SIGINT, signal.SIGTERM):
                signal.signal(other, signal.SIG_IGN)  # the workers are being killed; it takes no time
            self._forced = True
            self.engine.stop()
            raise _Forced
        self.signalled = signal.Signals(number)
        count = self.engine.drain()
        items = "1 item" if count == 1 else f"{count:,} items"
        again = "Ctrl-C again" if number == signal.SIGINT else "a second SIGTERM"
        text = f"{self.graph.name}: {self.signalled.name}: finishing {items} in flight; {again} stops now"
        if self._display is None:
            os.write(2, f"{text}\n".encode())
        elif self._showing:  # it may be anywhere, in the middle of an import too, and speaks in a moment
            self._unsaid = text
        else:
            self._display.say(text)

    @property
    def drained(self) -> bool:
        """Whether a signal ended the input early."""
        return self.signalled is not None and self.engine.phase >= Phase.DRAINING


Running = PipelineRun
"""Its former name; deprecated."""


def _parse_most(value: int | str | None) -> int | float | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
        return value
    if isinstance(value, str) and value.endswith("%"):
        try:
            share = float(value[:-1]) / 100
        except ValueError:
            share = -1.0
        if 0 <= share <= 1:
            return share
    raise PipelineError(f'max_failures is {value!r}; it must be a number, or a share as in "1%"')
