"""Workers: worker processes that are set up once, and serve many runs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.util import Finalize
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from .._memory.labels import place_outside
from .._processors import processors
from .._public import public
from ..errors import PipelineError
from .graph import checks
from .persistent.processes import PersistentProcesses
from .persistent.world import PersistentWorld
from .pipeline import Pipeline
from .pipeline_run import PipelineRun
from .snapshot.processes_page import ProcessesPage

if TYPE_CHECKING:
    from .report.report import Report

__all__ = ["Workers"]

_METHODS = (None, "fork", "spawn", "forkserver")
# Who does not close them does not wait long for them either.
_FORGOTTEN_SECONDS = 5.0
# Not options of a run here: these say it already.
_NOT_OF_A_RUN = {"self", "start_method"}
_NOT_OF_MAP = ("threads", "concurrency", "executor", "workers")


@public
class Workers:
    """Worker processes that stay: set up once, used by many runs.

        with conveyor.Workers(4) as workers:
            squares = workers.map(square, range(1000))
            report = workers.run(Pipeline(paths).map(Model, timeout=30).to(list))

    A process is started when a run first needs one, and waits for the next run when that is over, at no cost but its
    memory. What was set up for a function, the object of a class with `setup()` for one, stays as it is as long as
    the same function is used, and is torn down when the workers are closed. A function that is no longer the same
    (it was defined anew in a notebook, or its object was changed) is set up again, in new processes if need be. What
    cannot be pickled, as a lambda, runs in processes of its own, which are copies of the program at that moment and end
    with the run, if they are started by fork; else it is an error.

    A process that dies is replaced; a run that fails leaves the others as they are. Several threads may run something
    at the same time, each with up to `count` processes. In a child that was forked of the program, they are as if they
    had just been made. They end when the program does, however it does.

    Args:
        count: worker processes for each stage that does not say how many; None: one for each processor.
        start_method: how they are started: `fork`, `spawn` or `forkserver`; None: Python's default.
        setup: called, without arguments, in each process before its first item: it loads what plain functions use. What
            it raises, the run raises.
        name: what `conveyor top` calls them, and `conveyor ls` and reports what has no name of its own.

    Raises:
        TypeError, PipelineError: an argument is not as above.
    """

    def __init__(
        self,
        count: int | None = None,
        *,
        start_method: Literal["fork", "spawn", "forkserver"] | None = None,
        setup: Callable[[], object] | None = None,
        name: str = "workers",
    ) -> None:
        if count is not None:
            checks.check_count("Workers", "count", count, 1)
        if start_method not in _METHODS:
            raise PipelineError(
                f"start_method of Workers is {start_method!r}; it must be 'fork', 'spawn' or 'forkserver'"
            )
        if setup is not None:
            checks.check_function("setup= of Workers", setup)
        if not isinstance(name, str) or not name:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"name of Workers is {name!r}; it must be a text")
        self.count = count or processors()
        """Worker processes for each stage that does not say how many."""
        self.name = name
        """What reports call what has no name of its own."""
        self._page = ProcessesPage(name, place_outside(), self.count)
        self._processes = PersistentProcesses(self.count, start_method, setup, name, self._page.show)
        self._last_call = Finalize(self, _end_forgotten, args=(self._processes, self._page), exitpriority=20)

    # -- work --------------------------------------------------------------------------------------------

    def map(self, function: Any, items: Iterable[Any], **options: Any) -> list[Any]:
        """Call a function for each item, in the worker processes.

        Args:
            function: a function of one item, or a class, as for `Pipeline.map`.
            items: any iterable, or whatever else a pipeline can begin with.
            options: as of `Pipeline.map`: `retries`, `timeout`, `on_error` and so on. `ordered` is True here if it is
                not said.

        Returns:
            The results, in the order of the items.

        Raises:
            PipelineError: they are closed, or what is asked for cannot be done.
            BaseException: what the function or the iterable raised, as `Pipeline.run` raises it.
        """
        results: list[Any] = self.run(self._pipeline(function, items, options).to(list), signals=False).result
        return results

    def starmap(self, function: Any, items: Iterable[Any], **options: Any) -> list[Any]:
        """Call a function with several arguments for each item, a tuple or a dict, as `Pipeline.starmap` does.

        For the arguments, the result and the errors see `map`.
        """
        return self.map(function, items, **{"unpack": True, **options})

    def imap(self, function: Any, items: Iterable[Any], **options: Any) -> Iterator[Any]:
        """Call a function for each item, in the worker processes, and give each result as soon as its turn comes.

        Items are taken as they are needed, so that there may be any number of them. For the arguments and errors see
        `map`; with `ordered=False`, results come as they are done.
        """
        return self.stream(self._pipeline(function, items, options))

    def run(self, pipeline: Pipeline[Any], **options: Any) -> Report:
        """Run a pipeline to the end of its source. Its stages of processes are done by these.

        Args:
            pipeline: what is to be run. A stage that does not say how many workers it has gets up to `count`.
            options: those of `Pipeline.run`, all but `start_method`.

        Returns:
            What was done.

        Raises:
            TypeError: there is no such option.
            PipelineError: they are closed, or the pipeline cannot run as it is described.
            BaseException: what `Pipeline.run` raises.
        """
        _check("run", options, _RUN_OPTIONS)
        if not options.pop("dashboard", False):
            return self._begin(pipeline, options).to_the_end()
        from .progress.dashboard import Dashboard

        with Dashboard():
            return self._begin(pipeline, options).to_the_end()

    def stream(self, pipeline: Pipeline[Any], **options: Any) -> Iterator[Any]:
        """Iterate over what comes out of a pipeline's last stage; it runs while it is iterated over.

        Args:
            pipeline: what is to be run, as for `run`.
            options: those of `Pipeline.stream`, all but `start_method`.
        """
        _check("stream", options, _STREAM_OPTIONS)
        if options.pop("outcomes", False):
            pipeline = pipeline._yielding()  # pyright: ignore[reportPrivateUsage]
        return self._values(self._begin(pipeline, {"signals": False, **options}, streams=True))

    def _values(self, run: PipelineRun) -> Iterator[Any]:
        # A method, so that they are not forgotten as long as somebody iterates.
        yield from run.values()

    def _pipeline(self, function: Any, items: Any, options: dict[str, Any]) -> Pipeline[Any]:
        for word in _NOT_OF_MAP:
            if options.get(word) is not None:
                raise PipelineError(
                    f"map of Workers got {word}={options[word]!r}, and its work is done by its {self.count} worker "
                    "processes; say run(Pipeline(items).map(...)) for anything else"
                )
        return Pipeline(items, name=self.name, ordered=True).map(function, **options)

    def _begin(self, pipeline: Pipeline[Any], options: dict[str, Any], streams: bool = False) -> PipelineRun:
        if not isinstance(pipeline, Pipeline):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"Workers run a Pipeline, and got {pipeline!r:.60}")
        if self._processes.closed:
            raise PipelineError("the Workers are closed; make new ones")
        return PipelineRun(
            pipeline,
            jobs=options.pop("jobs", None) or self.count,
            start_method=self._processes.method,
            world=PersistentWorld(self._processes),
            streams=streams,
            **options,
        )

    # -- the end -----------------------------------------------------------------------------------------

    def pids(self) -> list[int]:
        """The worker processes that are there now."""
        return self._processes.pids()

    def close(self, timeout: float | None = None) -> None:
        """Tear down what was set up, and end the processes. A run that uses them ends with an error.

        Args:
            timeout: seconds after which they are killed; None: teardowns take as long as they take.

        Raises:
            PipelineError: they did not end in time, and were killed.
            BaseException: what a teardown raised.
        """
        if timeout is not None:
            checks.check_seconds("close", "timeout", timeout, zero=True)
        self._last_call.cancel()
        try:
            self._processes.close(timeout)
        finally:
            self._page.close()

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        try:
            self.close()
        except Exception as another:
            if error is None:
                raise
            error.add_note(f"and when the Workers were closed: {another!r}")

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("Workers cannot be sent to another process: they are this program's; make some there")

    def __repr__(self) -> str:
        state = "closed" if self._processes.closed else f"{len(self.pids())} there"
        return f"<Workers {self.name!r}, {self.count} at most, {state}>"


def _end_forgotten(processes: PersistentProcesses, page: ProcessesPage) -> None:
    try:
        if processes.pids():
            processes.close(_FORGOTTEN_SECONDS)
    finally:
        page.close()


def _check(method: str, options: dict[str, Any], known: frozenset[str]) -> None:
    for word in options:
        if word not in known:
            raise TypeError(
                f"{method}() of Workers got an unexpected keyword argument {word!r}; it has {', '.join(sorted(known))}"
            )


def _options_of(method: Any) -> frozenset[str]:
    return frozenset(inspect.signature(method).parameters) - _NOT_OF_A_RUN


_RUN_OPTIONS = _options_of(Pipeline[Any].run)
_STREAM_OPTIONS = _options_of(Pipeline[Any].stream)
