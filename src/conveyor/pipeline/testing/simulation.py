"""Simulation: a run of a pipeline without processes, in virtual time, of which every choice is drawn from a seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

from ..base.events import Event, Results
from ..base.failure import Failure
from ..report.report import Report
from ..worker.functions import PART_SIZE
from .broken import Broken
from .death import Death
from .fate import Delay, Fate
from .invariants import check_engine
from .simulated_world import SimulatedWorld
from .timer import Timer

if TYPE_CHECKING:
    from ..engine.engine import Engine
    from ..pipeline import Pipeline
    from ..pipeline_run import PipelineRun

__all__ = ["Simulation"]


class Simulation:
    """Runs a pipeline with its true scheduler, in this thread and in virtual time.

    The functions are called here, one at a time. Workers, who acts when, and who dies, are simulated: the same seed has
    the same run. While it runs, it is checked that every item is in exactly one place, that all counts agree, that no
    stage holds more than it may, that no worker is left, and that there is always something to wait for.

        simulation = Simulation(seed=1, deaths=[Death("parse", "call", item=3)])
        report = simulation.run(Pipeline(range(10)).map(parse, workers=2, retries=1).to(list))

    A simulation is used once.

    Args:
        seed: of all that is left to chance.
        deaths: the share of the moments at which a worker process may die and does; or the deaths that are to be.
        delay: seconds that an item takes in a stage: so many, between so many and so many, or what a function of the
            stage's name and the item says; None in the item's place is the start of a worker. They cost no time.
        late: the share of a worker's steps that come later than they could.
        interleave: the share of the scheduler's steps in the middle of which workers act.
        reorder: whether any of the workers that could act next may; else the one that was started first.
        memory: the share of sends to a worker process for which there is no memory.
        part_size: results of one item that a worker sends at a time.
        source_pause: seconds from one item of the source to the next, at least and at most; None: all are there at
            once.
        trace: whether to keep what happens in `trace`.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        deaths: float | Sequence[Death] = (),
        delay: Delay = (0.0, 0.01),
        late: float = 0.1,
        interleave: float = 0.2,
        reorder: bool = True,
        memory: float = 0.0,
        part_size: int = PART_SIZE,
        source_pause: tuple[float, float] | None = None,
        trace: bool = False,
    ) -> None:
        fate = Fate(
            seed,
            deaths=deaths,
            delay=delay,
            late=late,
            interleave=interleave,
            reorder=reorder,
            memory=memory,
        )
        self.world = SimulatedWorld(fate, part_size=part_size, source_pause=source_pause, trace=trace)
        self._run: PipelineRun | None = None
        self._acts: list[tuple[float, Callable[[], object]]] = []

    @property
    def now(self) -> float:
        """Seconds since the run began."""
        run = self._run
        return self.world.time - run.engine.began if run is not None and run.engine.began else 0.0

    @property
    def trace(self) -> list[str]:
        """What happened, in words; empty unless it was asked for."""
        return self.world.trace or []

    @property
    def workers_started(self) -> int:
        """How many workers there were."""
        return len(self.world.workers)

    def at(self, seconds: float, action: Callable[[], object]) -> None:
        """Have something done so long after the run began: `simulation.at(2.0, simulation.drain)`.

        Args:
            seconds: from the beginning of the run.
            action: called without arguments; it may come at any point of the scheduler's work, as a signal handler.
        """
        self._acts.append((seconds, action))

    @property
    def _engine(self) -> Engine:
        if self._run is None:
            raise RuntimeError(
                "the simulation does not run: call this in at(), or in a function of the pipeline"
            )
        return self._run.engine

    def drain(self) -> None:
        """Take no more input, finish what was taken, and end, as after one Ctrl-C."""
        self._engine.drain()

    def finish_begun(self) -> None:
        """Begin nothing more, finish what workers have begun, and end, as after a failure with `halt="soon"`."""
        self._engine.finish_begun()

    def halt(self) -> None:
        """End now: what comes is dropped, and workers leave."""
        self._engine.halt()

    def stop(self) -> None:
        """End at once: the workers are killed, as after a second Ctrl-C; the run raises nothing."""
        self._engine.stop()

    def run(
        self,
        pipeline: Pipeline[Any],
        *,
        jobs: int | None = None,
        halt: Literal["now", "soon"] = "now",
        max_failures: int | str | None = None,
        dead_letters: Any = None,
        max_items: int | None = None,
    ) -> Report:
        """Run it to the end. For the arguments and errors see `Pipeline.run`; further:

        Args:
            max_items: items that a stage may hold.

        Raises:
            Broken: the scheduler has broken one of its promises.
            Stuck: the run does not end.
            NotSupported: something in the pipeline cannot be simulated.
        """
        options = {"halt": halt, "max_failures": max_failures, "dead_letters": dead_letters}
        run = self.begin(pipeline, jobs=jobs, max_items=max_items, **options)
        report = run.to_the_end()
        self.check_end()
        return report

    def stream(
        self,
        pipeline: Pipeline[Any],
        *,
        jobs: int | None = None,
        halt: Literal["now", "soon"] = "now",
        max_failures: int | str | None = None,
        dead_letters: Any = None,
        outcomes: bool = False,
        max_items: int | None = None,
    ) -> Iterator[Any | Failure]:
        """Iterate over what comes out of it. For the arguments and errors see `Pipeline.stream` and `run`."""
        chosen = pipeline._yielding() if outcomes else pipeline  # pyright: ignore[reportPrivateUsage]
        options = {"halt": halt, "max_failures": max_failures, "dead_letters": dead_letters}
        run = self.begin(chosen, jobs=jobs, max_items=max_items, streams=True, **options)
        for event in self.events(run):
            if isinstance(event, Results):
                yield from event.values

    def begin(self, pipeline: Pipeline[Any], **options: Any) -> PipelineRun:
        """A run that is about to begin, to be iterated over by `events`.

        Args:
            pipeline: what is to run.
            options: see `PipelineRun`.
        """
        from ..pipeline_run import PipelineRun

        if self._run is not None:
            raise RuntimeError("a simulation is used once; make another with the same seed for the same run")
        run = self._run = PipelineRun(pipeline, signals=False, world=self.world, **_given(options))
        self.world.checks.append(lambda: check_engine(run.engine))
        for seconds, action in self._acts:
            Timer(self.world, self.world.time + seconds, action)
        return run

    def events(self, run: PipelineRun) -> Iterator[Event]:
        """Run it, and tell what happens."""
        yield from run.events()
        self.check_end()

    def check_end(self) -> None:
        """Look whether the run has left anything behind.

        Raises:
            Broken: a worker was not waited for.
        """
        left = [worker for worker in self.world.workers if not (worker.closed and worker.agent.ended)]
        if left:
            raise Broken(f"{len(left)} of {len(self.world.workers)} workers were left behind")


def _given(options: dict[str, Any]) -> dict[str, Any]:
    given: dict[str, Any] = {"jobs": 2}
    given.update((name, value) for name, value in options.items() if value is not None)
    return given
