"""Pipeline: stages of work, described as a value and then run."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Unpack, cast

from .._memory.labels import place_outside
from .._public import public
from ..errors import PipelineError
from .graph import checks
from .graph.graph import UNNAMED, Acknowledge, Batch, Graph, Merge, Reduce, Split, Step, Tee, To, Unbatch
from .graph.looping import make_loop
from .graph.meeting import make_meet
from .graph.options import make_stage
from .graph.stage_options import StageKeywords, options_from, shows_options
from .runnable import RunnablePipeline
from .worker.functions import Kind

if TYPE_CHECKING:
    from .graph.describe import Description

__all__ = ["Pipeline"]

T = TypeVar("T")
_MISSING: Any = object()


@public
class Pipeline(RunnablePipeline[T]):
    """Items from a source, through functions that run in supervised workers, to wherever they end.

        report = Pipeline(read_lines("access.log")).map(parse, workers=4).filter(is_error).to(list).run()

    A pipeline is a value: each method returns a new one, nothing runs before `run` or `stream`, and it may be
    run more than once if its source can. `print` shows it.

    Args:
        source: any iterable, iterator, generator function without arguments, async iterable, or queue of
            conveyor's (until that is shut down). None: a piece of a pipeline, for a branch of `split`.
        name: what reports call it.
        ordered: what `ordered` is in stages that do not say it.
        acknowledge: of a queue. "on_result": its items are leased, and acknowledged when everything that came of
            them is where it ends; what the run has not finished, however it ends, goes back to the queue, and what
            failed for good under `on_error="dead_letter"` to the queue's dead letters: at least once. "on_take": an
            item is the run's as soon as it is taken: at most once, and faster. None: "on_result" for queues of
            `connect`, which outlive the program, "on_take" for a `Queue` without a name.

    Raises:
        PipelineError: the items of the source cannot be acknowledged like this.
        TypeError: nothing can come from the source.
    """

    def __init__(
        self,
        source: Any = None,
        *,
        name: str = UNNAMED,
        ordered: bool = False,
        acknowledge: Acknowledge | None = None,
    ) -> None:
        if source is not None:
            checks.check_source(source)
        checks.check_acknowledge(source, acknowledge)
        self.graph = Graph(source, (), name, ordered, acknowledge, place_outside())

    @property
    def source(self) -> Any:
        """Where the items come from."""
        return self.graph.source

    @property
    def name(self) -> str:
        """What reports call it."""
        return self.graph.name

    @property
    def ordered(self) -> bool:
        """What `ordered` is in stages that do not say it."""
        return self.graph.ordered

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps so far."""
        return self.graph.steps

    # -- stages -------------------------------------------------------------------------------------------

    @shows_options
    def map(self, function: Any, **options: Unpack[StageKeywords]) -> Pipeline[Any]:
        """Call a function for each item; its results go on.

        It runs in worker processes, or in threads of this process if `threads` is given, or, if it is an
        `async def`, in coroutines of this process. A stage that says neither how many workers nor anything
        else about them is done by the workers of the stage before, and costs no transport.

        Args:
            function: a function of one item; or a class: each worker makes an object of it, calls `setup()` if
                there is one, then the object for each item, and `teardown()` at the end. What these raise, the run
                raises; an object with one of them is given to each worker as a copy. What `teardown()` yields, or
                returns in a list or by itself, goes on as results. A parameter `worker` of any of these is given the
                `Worker`.
            workers: processes; "auto": as many as it takes to keep up with the other stages, within the run's `jobs`;
                None: as many as `jobs`.
            threads: threads, in the place of processes.
            concurrency: items at a time for an `async def`; None: 100.
            ordered: results go on in the order of the items, however long each takes; at most 100,000 items or
                about 64 MiB wait for a slow one. Else as they come.
            key: of an item: those with the same key (by `hash` and `==`) go to the same worker, in order.
            retries: how often an item that failed is tried again, also when its worker died on it.
            backoff: seconds before the second attempt; doubled for each further one, and spread at random.
            timeout: seconds for an item. Then its worker is replaced, and the item has failed; others are not
                concerned. (A thread cannot be killed; it is left behind.)
            setup_timeout, teardown_timeout: seconds for a worker's `setup()`, and for its `teardown()`; more is an
                error of the run. None: as long as they take.
            on_error: what becomes of an item that failed for good: `stop` ends the run and raises the exception;
                `skip` leaves the item out; `dead_letter` puts it into the run's dead letters; `yield` has a
                `Failure` take the place of the result, and go past all later stages; a function is called with the
                `Failure`, in this process. All but `stop` are counted in the report.
            name: what reports call the stage; None: the function's name.
            executor: who calls it, in the place of processes of ours: anything with `submit(function, *arguments)` that
                returns a future, such as those of `concurrent.futures`, loky and mpi4py, or a client of
                dask.distributed or Ray. `workers` says how many submissions there are at a time; None: twice as many as
                the executor has workers. Quick items travel together. It is not shut down.
            args, kwargs: more arguments of each call, behind the item and by name. They travel once to each worker, and
                large arrays in them are not copied for each.
            inline: in this process and thread, one item after the other, for a debugger: `breakpoint()` in the function
                works. Nothing else of the run goes on meanwhile, so that it can have no time limit.
            blas_threads: threads at most of BLAS, OpenMP and the like in each worker process; "any": any number.
                None: the processors divided by the run's worker processes. What the environment says counts first.
            max_in_flight: what the stage may hold, taken and not yet passed on, as items or, as in "64MB", bytes;
                at least one item. None: 100,000 items or about 64 MiB, of which it takes what it needs soon.
            unpack: an item is several arguments: a dict of them by name, any other iterable of them by place.
            initializer: a function that each worker calls once, before all else; what it returns is `Worker.state` for
                those functions of the stage that ask for the worker. What it raises, the run raises.
            max_items_per_worker: a worker is renewed after so many items: it tears down, and another takes its place.
                Nothing is lost, and order is kept. None: never.
            max_worker_memory: a worker process is renewed after an item that leaves it with more memory of its own:
                bytes, `"500MB"`, or `"10%"` of what the machine or the container has. Shared memory, and what a forked
                worker has inherited, do not count.

        Raises:
            TypeError, PipelineError: an argument is not as above.
        """
        return self._stage("map", function, options)

    @shows_options
    def starmap(self, function: Any, **options: Unpack[StageKeywords]) -> Pipeline[Any]:
        """Call a function with each item's values: those of a tuple by place, those of a dict by name.

            Pipeline([(2, 5), {"base": 3, "exp": 2}]).starmap(pow)

        The same as `map` with `unpack=True`; for the other options see there.
        """
        return self._stage("starmap", function, {**options, "unpack": True})

    @shows_options
    def filter(self, function: Any, **options: Unpack[StageKeywords]) -> Pipeline[Any]:
        """Let those items go on for which a function returns something true. For the options see `map`."""
        return self._stage("filter", function, options)

    @shows_options
    def flat_map(self, function: Any, **options: Unpack[StageKeywords]) -> Pipeline[Any]:
        """Call a function for each item; each value that it returns in an iterable, or yields, goes on by itself.

        A generator that yields without end needs no memory. For the options see `map`.
        """
        return self._stage("flat_map", function, options)

    def _stage(self, method: str, function: Any, options: StageKeywords) -> Pipeline[Any]:
        before = self.steps[-1] if self.steps else None
        checked = options_from(method, options)
        kind = cast("Kind", "map" if method == "starmap" else method)
        return self._with(make_stage(before, self.ordered, self._unique, kind, function, checked))

    def batch(self, size: int, seconds: float | None = None, *, name: str = "batch") -> Pipeline[list[T]]:
        """Collect items into lists.

        Args:
            size: items in a list; the last may have fewer.
            seconds: a list goes on so long after its first item, with what it has; None: when it is full.
            name: what reports call the stage.
        """
        checks.check_count(repr(name), "size", size, 1)
        if seconds is not None:
            checks.check_seconds(repr(name), "seconds", seconds)
        return self._with(Batch(self._unique(name), size, seconds))

    def unbatch(self, *, name: str = "unbatch") -> Pipeline[Any]:
        """Take lists, or other iterables, apart into items."""
        return self._with(Unbatch(self._unique(name)))

    def tee(self, target: Any, *, name: str | None = None, **options: Any) -> Pipeline[T]:
        """Show each item to somebody, in this process, and pass it on.

        Args:
            target: as for `to`.
            name: what reports call the stage.
            options: as for `to`.
        """
        from .sinks.make_sink import check_target

        check_target(target, options)
        return self._with(Tee(self._unique(name or f"tee {_name_of_target(target)}"), target, options))

    def split(
        self,
        by: Callable[[T], Any],
        branches: dict[Any, Pipeline[Any]],
        *,
        otherwise: Pipeline[Any] | None = None,
        name: str = "split",
    ) -> Pipeline[Any]:
        """Send each item down one of several branches.

            pages.split(kind, {"pdf": Pipeline().map(ocr, workers=2), "text": Pipeline()}).merge()

        A branch ends in a `to`, or `merge` must follow, which brings together what comes out of the others.

        Args:
            by: called for each item, in this process; returns the name of a branch.
            branches: names, and pipelines without a source.
            otherwise: for all other names; None: another name ends the run.
            name: what reports call the stage.
        """
        checks.check_function("split", by)
        checks.check_arity("split", by)
        every = [*branches.values(), *([] if otherwise is None else [otherwise])]
        if not every:
            raise PipelineError("split() got no branches; give a dict of names and Pipeline().map(...)")
        for branch in every:
            if not isinstance(branch, Pipeline) or branch.source is not None:  # pyright: ignore[reportUnnecessaryIsInstance]
                raise PipelineError(
                    f"a branch of split() is {branch!r:.60}; it must be a Pipeline() without a source"
                )
        graphs = {key: branch.graph for key, branch in branches.items()}
        last = None if otherwise is None else otherwise.graph
        return self._with(Split(self._unique(name), by, graphs, last))

    def merge(
        self: Any,
        *others: Any,
        weights: Sequence[int] | None = None,
        priorities: Sequence[int] | None = None,
        name: str = "merge",
    ) -> Pipeline[Any]:
        """Bring together what comes from several sources, or out of the branches of the `split` before, as it comes.

            Pipeline.merge(orders, visits, weights=(3, 1)).map(store)

        It ends when all have ended, and a slow one holds up no other.

        Args:
            others: pipelines with a source, or sources; so may be the first. None: the branches of the `split` before.
            weights: items of each in a turn, as long as each has some. None: whatever is there, in turn.
            priorities: of each; nothing is taken from one as long as another with a larger number has something.
            name: what reports call the step.

        Raises:
            TypeError, PipelineError: an argument is not as above.
        """
        first = _pipeline_of(self)
        if first.steps and isinstance(first.steps[-1], Split):
            first = first._with(Merge(first._unique(name)))
            if not (others or weights or priorities):
                return first
        if not others:
            raise PipelineError("merge() must follow a split(), or get other sources to merge with")
        graphs = [first.graph, *(_pipeline_of(other).graph for other in others)]
        meet = make_meet("merge", first._unique(name), graphs, weights=weights, priorities=priorities)
        return first._with(meet)

    def zip(self: Any, *others: Any, strict: bool = False, name: str = "zip") -> Pipeline[Any]:
        """Put together what comes from several sources in step: tuples of one item of each.

            Pipeline.zip(frames, labels).map(train)

        It ends with the shortest; what others had read beyond that is dropped, and goes back to a queue that leases it.
        A `Failure` under `on_error="yield"` takes the place of the tuple that its item belongs to.

        Args:
            others: pipelines with a source, or sources; so may be the first.
            strict: it is an error if one has more than another: `ValueError` when all whole tuples are dealt with.
            name: what reports call the step.

        Raises:
            TypeError, PipelineError: an argument is not as above.
        """
        first = _pipeline_of(self)
        if not others:
            raise PipelineError("zip() must get other sources to put together with")
        graphs = [first.graph, *(_pipeline_of(other).graph for other in others)]
        return first._with(make_meet("zip", first._unique(name), graphs, strict=strict))

    def loop(
        self, body: Pipeline[Any], *, unique: Callable[[Any], Any] | bool | None = None, name: str = "loop"
    ) -> Pipeline[Any]:
        """Stages that feed themselves: what comes out as `Again(item)` goes through them again, and all else goes on.

            Pipeline([start]).loop(Pipeline().flat_map(visit, workers=4), unique=True).to("pages.jsonl")

        It ends when the source has ended, and nothing is left in the loop. An item of the source is dealt with, for its
        queue or for `resume`, when everything that came of it is. What comes back goes before what is new, in the order
        in which it came; 64 MiB of it wait in memory, the rest in temporary files. After Ctrl-C nothing goes back.

        Args:
            body: a pipeline without a source.
            unique: what is to go into the loop once only: True: each item; a function: items with the same key, which
                is kept in memory. None: nothing is looked at.
            name: what reports call it.

        Raises:
            TypeError, PipelineError: an argument is not as above.
        """
        given = body.graph if isinstance(body, Pipeline) else body  # pyright: ignore[reportUnnecessaryIsInstance]
        return self._with(make_loop(self._unique(name), given, unique))

    # -- ends ---------------------------------------------------------------------------------------------

    def to(
        self, target: Any, *, name: str | None = None, shutdown: bool | None = None, **options: Any
    ) -> Pipeline[T]:
        """Say where the items end.

        Args:
            target: `list`, `set`, `dict` or another collection type: `Report.result` is one of all items. A
                list or the like: it is extended. A queue: they are put, and a full one holds up the pipeline. A
                function: called with each, in this process. An open file: a line for each item, text and bytes as they
                are, all else as JSON.
                A path, or a URL that fsspec knows: the same, or what its suffix says: `.jsonl`, `.csv`, `.parquet`;
                behind all but the last `.gz`, `.bz2`, `.xz`, `.zst`. It is there, or replaced, when the run has ended
                well. "sqlite:///file.db?table=name": rows are added to that table. "-": standard output.
            name: what reports call it.
            shutdown: of a queue: shut it down when the input has ended, and not when the run ends for another reason.
                None: if the items of the source are leased.
            options: of a path or URL. `columns`, of CSV and tables: their names, if not all items have the same.
                `format`: "lines", "jsonl", "csv" or "parquet", whatever the suffix is. Of CSV, `delimiter` and what
                else a `csv.writer` takes. Of Parquet, `schema`, `row_group_size`, `compression`, as pyarrow has them.

        Raises:
            PipelineError: items cannot go there.
            TypeError, ValueError: an option is not for it, or has a value that it cannot have.
        """
        from .sinks.make_sink import check_target

        check_target(target, options)
        if shutdown is not None and not callable(getattr(target, "shutdown", None)):
            raise PipelineError(
                f"to() got shutdown={shutdown!r} and a {type(target).__name__}, which cannot be shut down"
            )
        return self._with(
            To(self._unique(name or f"to {_name_of_target(target)}"), target, shutdown, options)
        )

    def reduce(
        self, function: Callable[[Any, T], Any], initial: Any = _MISSING, *, name: str | None = None
    ) -> Pipeline[T]:
        """Merge all items into one value, `Report.result`, in this process.

        Args:
            function: called with the value so far and an item; returns the value then. It may change the first.
            initial: the value before the first item.
            name: what reports call it.
        """
        checks.check_function("reduce", function)
        checks.check_arity("reduce", function, 2)
        if initial is _MISSING:
            raise PipelineError("reduce() needs the value to begin with, as in reduce(merge, {})")
        return self._with(Reduce(self._unique(name or checks.name_of(function)), function, initial))

    # -- as a value --------------------------------------------------------------------------------------------

    def describe(self) -> Description:
        """The pipeline as a graph: its steps, who does each, and how they are joined."""
        from .graph.describe import describe

        return describe(self.graph)

    def check(self, start_method: Literal["fork", "spawn", "forkserver"] | None = None) -> None:
        """Find what can be found wrong before anything runs.

        Args:
            start_method: how processes will be started; None: Python's default.

        Raises:
            PipelineError: it cannot run like this; the text names the stage and says what to do.
        """
        from .planning.planner import check

        check(self.graph, start_method)

    def __str__(self) -> str:
        return str(self.describe())

    def __repr__(self) -> str:
        return f"<Pipeline {self.name!r}, {len(self.steps)} steps>"

    def _unique(self, name: str) -> str:
        taken = {step.name for step in self.steps}
        if name not in taken:
            return name
        return next(
            f"{name} {number}" for number in range(2, math.ceil(1e9)) if f"{name} {number}" not in taken
        )

    def _with(self, step: Step) -> Pipeline[Any]:
        last = self.steps[-1] if self.steps else None
        if isinstance(last, (To, Reduce)):
            raise PipelineError(
                f"{step.name!r} comes behind {last.name!r}, where all items end; use tee() there"
            )
        if isinstance(last, Split) and not isinstance(step, Merge):
            raise PipelineError(f"{step.name!r} comes behind a split(); say merge() first")
        return self._copy((*self.steps, step))

    def _copy(self, steps: tuple[Step, ...]) -> Pipeline[Any]:
        made: Pipeline[Any] = Pipeline()
        made.graph = dataclasses.replace(self.graph, steps=steps)
        return made


def _pipeline_of(given: Any) -> Pipeline[Any]:
    if isinstance(given, Pipeline):
        return given  # pyright: ignore[reportUnknownVariableType]
    return Pipeline(given)


def _name_of_target(target: Any) -> str:
    if isinstance(target, (str, Path)):
        from .files.address import without_password

        return without_password(str(target))
    return checks.name_of(target)
