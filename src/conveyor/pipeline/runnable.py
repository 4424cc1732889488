"""RunnablePipeline: what a pipeline does when it runs, in this thread, as an iterator, or in an event loop."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, Self, TypeVar, Unpack

from .graph.graph import Graph
from .graph.run_keywords import RunKeywords, StreamKeywords
from .graph.stage import Stage, inlined
from .worker.main_module import being_spawned

if TYPE_CHECKING:
    from .base.failure import Failure
    from .report.report import Report

__all__ = ["RunnablePipeline"]

T = TypeVar("T")


class RunnablePipeline(Generic[T]):
    """A pipeline that is described, of which only its running is to be said. Nothing of it changes by a run."""

    graph: Graph
    """What was said so far."""

    def run(
        self,
        *,
        jobs: int | None = None,
        progress: Any = None,
        start_method: Literal["fork", "spawn", "forkserver"] | None = None,
        halt: Literal["now", "soon"] = "now",
        max_failures: int | str | None = None,
        dead_letters: Any = None,
        resume: str | Path | None = None,
        signals: bool = True,
        seed: int | None = None,
        logs: bool = True,
        dashboard: bool = False,
        inline: bool = False,
    ) -> Report:
        """Run to the end of the source.

        Args:
            jobs: workers for stages that do not say how many; None: one for each processor.
            progress: True: a line for each stage on the terminal, plain lines elsewhere; a function: called now and
                then with a `Progress`; an object with `update` as of tqdm: told of items that are through. None,
                False: none.
            start_method: how processes are started; None: Python's default.
            halt: an item that fails under `on_error="stop"` ends the run now, or soon: what has begun is finished.
            max_failures: so many items may fail; `"1%"`: of those taken so far, 100 at least. More raise
                `TooManyFailures`.
            dead_letters: a queue, or a list, for items of stages with `on_error="dead_letter"`: it gets
                `DeadLetter`s. None: `Report.dead_letters`, which keeps the first 10,000.
            resume: a file, made when it is not there, that keeps which items of the source are dealt with. A run that
                finds it goes on from there: each item is processed at least once, none is skipped. The source must
                have places (a list, a range, `read_lines`) or be `keyed`; for a `reduce`, the value is kept, too.
            signals: Ctrl-C and SIGTERM finish what is in flight and end the run in good order, a second one ends it at
                once. Only in the main thread.
            seed: has `random`, NumPy and `Worker.rng` give the same numbers for the same item of a stage in each run,
                whichever worker has it; None: other ones in each worker and each run.
            logs: what worker processes log comes to the handlers of this process, and their warnings are shown here,
                once. False: workers do as they would by themselves.
            dashboard: open the page of `conveyor dash` for the time of the run, and say on standard error where it is;
                it needs the extra `dash`.
            inline: for a debugger: as if each stage said it, and nothing of workers, executors or time limits.
                Stages that are an `async def` stay as they are.

        Returns:
            What was done: `Report.result` has what `to(list)` or `reduce` made.

        Raises:
            PipelineError: the pipeline cannot run as it is described.
            BaseException: what the source, the sink, or a function raised, of its own type; its notes name
                stage, item and worker, and its cause has the worker's traceback. `error.report` is the report so far.
            WorkerLost, ItemTimeout, TooManyFailures, WorkerPoolBroken: as their names say.
            KeyboardInterrupt: Ctrl-C was pressed twice.
        """
        from .pipeline_run import PipelineRun

        if not dashboard:
            shown: AbstractContextManager[object] = nullcontext()
        else:
            from .progress.dashboard import Dashboard

            shown = Dashboard()
        with shown:
            return PipelineRun(
                self._inline() if inline else self,
                jobs=jobs,
                progress=progress,
                start_method=start_method,
                halt=halt,
                max_failures=max_failures,
                dead_letters=dead_letters,
                resume=resume,
                signals=signals,
                seed=seed,
                logs=logs,
            ).to_the_end()

    def stream(
        self,
        *,
        jobs: int | None = None,
        start_method: Literal["fork", "spawn", "forkserver"] | None = None,
        halt: Literal["now", "soon"] = "now",
        max_failures: int | str | None = None,
        dead_letters: Any = None,
        seed: int | None = None,
        logs: bool = True,
        outcomes: bool = False,
    ) -> Iterator[T | Failure]:
        """Iterate over what comes out of the last stage, as it comes; the pipeline runs while it is iterated over.

        Leaving the loop ends the run, and its workers. For the arguments and errors see `run`.

        Args:
            outcomes: items that fail are given as a `Failure`, as if each stage said `on_error="yield"`.
        """
        from .pipeline_run import PipelineRun

        pipeline = self._yielding() if outcomes else self
        run = PipelineRun(
            pipeline,
            jobs=jobs,
            start_method=start_method,
            halt=halt,
            max_failures=max_failures,
            dead_letters=dead_letters,
            signals=False,
            seed=seed,
            logs=logs,
            streams=True,
        )
        return run.values()

    async def arun(self, *, signals: bool = False, **options: Unpack[RunKeywords]) -> Report:
        """Run to the end of the source, in an asyncio program: the event loop goes on meanwhile.

        The engine is a thread, where functions of `to`, `tee`, `split` and `on_error` are called; coroutine stages and
        async sources are in the program's loop. A cancelled run has no worker left when `CancelledError` is raised. For
        `options`, the errors and what is returned see `run`.

        Args:
            signals: Ctrl-C and SIGTERM as `run` has them; else they are the program's. Only in the main thread.
        """
        from .async_run import run_in_loop

        return await run_in_loop(self, signals, **options)

    def astream(
        self, *, outcomes: bool = False, **options: Unpack[StreamKeywords]
    ) -> AsyncIterator[T | Failure]:
        """Iterate over what comes out of the last stage, in an asyncio program: `async for result in p.astream()`.

        The pipeline runs while it is iterated over, and a slow loop body holds it up. Leaving the loop ends the run and
        its workers, soon; `contextlib.aclosing` waits until they have ended, and so does a cancelled iteration. What
        runs where is as for `arun`; for the arguments and errors see `stream` and `run`.
        """
        from .async_run import AsyncResults

        return AsyncResults(self._yielding() if outcomes else self, **options)

    def _inline(self) -> Self:
        return self._with_stages(inlined)

    def _yielding(self) -> Self:
        return self._with_stages(lambda stage: dataclasses.replace(stage, on_error="yield"))

    def _with_stages(self, change: Callable[[Stage], Stage]) -> Self:
        made = copy.copy(self)
        made.graph = self.graph.with_stages(change)
        return made


if not being_spawned():
    # What a run needs takes longer to import than a thousand quick items take: not between the call of `run` and its
    # first result. A process that is being spawned imports the program's main module, and needs this class at most.
    from . import pipeline_run as _pipeline_run  # noqa: F401  # pyright: ignore[reportUnusedImport]
