"""make_stage: the arguments of `map`, `filter` and `flat_map`, checked and put together."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

from ..._processors import processors
from ...errors import PipelineError
from ..worker.functions import Kind, is_worker_class
from . import checks
from .bounds import check_bound
from .check_arguments import check_args, check_arguments, check_kwargs
from .graph import Step
from .ray_executor import RayExecutor, ray_of
from .stage import Stage, Where
from .stage_options import StageOptions
from .worker_options import check_worker_options

__all__ = ["make_stage"]

_CONCURRENCY = 100


def make_stage(
    before: Step | None,
    by_default: bool,
    unique: Callable[[str], str],
    kind: Kind,
    function: Any,
    options: StageOptions,
) -> Stage:
    """A stage behind another.

    Args:
        before: the step before it, if there is one.
        by_default: whether it keeps order if it does not say.
        unique: makes a name one that no other step has.
        kind: which method of `Pipeline` it is.
        function, options: see `Pipeline.map`.

    Raises:
        TypeError, PipelineError: an argument is not as it should be.
    """
    checks.check_function(kind, function)
    name = options.name or checks.name_of(function)
    stage = repr(name)
    for word in options.given():
        if (check := _CHECKS.get(word)) is not None:
            check(stage, word, getattr(options, word))
    check_arguments(kind, function, options)
    is_async = _is_async(function)
    _check_place(stage, kind, options, is_async)
    where: Where = "processes"
    count, executor = options.workers, options.executor
    if is_async:
        where, count = "coroutines", options.concurrency or _CONCURRENCY
    elif options.inline:
        where, count = "inline", 1
    elif options.threads is not None:
        where, count = "threads", options.threads
    elif executor is not None:
        executor = _checked_executor(stage, executor)
        where, count = "executor", count if isinstance(count, int) else 2 * _parallelism(executor)
        if callable(getattr(function, "teardown", None)):
            raise PipelineError(
                f"stage {stage} has a teardown(), and an executor does not tell when its workers end; let setup() "
                "make what needs none"
            )
    ordered = by_default if options.ordered is None else options.ordered
    joins = False
    if isinstance(before, Stage) and _may_join(before, options, is_async):
        joins, where, executor = True, before.where, before.executor
    check_worker_options(stage, function, options, where)
    settled: dict[str, Any] = {**vars(options), "name": unique(name), "backoff": float(options.backoff)}
    settled |= {"workers": count, "ordered": ordered, "executor": executor}
    return Stage(kind=kind, function=function, where=where, joins=joins, **settled)


def _may_join(before: Stage, options: StageOptions, is_async: bool) -> bool:
    """Whether nothing was said of a stage's workers, so that those of the stage before do it, too."""
    silent = not is_async and not options.ordered and set(options.given()) <= _NOT_OF_WORKERS
    return (
        silent
        and before.where != "coroutines"
        and (options.ordered is None or options.ordered == before.ordered)
    )


def _is_async(function: Any) -> bool:
    called = function.__call__ if is_worker_class(function) else function
    return inspect.iscoroutinefunction(called) or (
        not inspect.isroutine(called) and inspect.iscoroutinefunction(getattr(called, "__call__", None))  # noqa: B004
    )


def _check_place(stage: str, kind: Kind, options: StageOptions, is_async: bool) -> None:
    """Only one option says where the function runs, and it fits the function."""
    workers, threads = options.workers, options.threads
    given = [word for word in options.given() if word in _PLACES]
    if len(given) > 1:
        raise PipelineError(f"stage {stage} has {' and '.join(given)}; only one of them says where it runs")
    if options.inline:
        others = [*given, *(["executor"] if options.executor is not None else [])]
        if others:
            raise PipelineError(
                f"stage {stage} has inline and {others[0]}; only one of them says where it runs"
            )
        if is_async:
            raise PipelineError(f"stage {stage} is async, and inline takes a plain function")
        limits = [word for word in options.given() if word.endswith("timeout")]
        if limits:
            raise PipelineError(
                f"stage {stage} has inline and {limits[0]}; what runs in this process cannot be stopped, leave out "
                f"{limits[0]} or give workers= in the place of inline"
            )
    if options.blas_threads is not None and (
        is_async or threads or options.inline or options.executor is not None
    ):
        raise PipelineError(
            f"stage {stage} has blas_threads, and no worker processes of its own; what it does shares the threads of "
            "another process, set them there, with threadpoolctl for one"
        )
    if options.executor is not None and (is_async or threads is not None or workers == "auto"):
        other = "is async" if is_async else "has threads" if threads is not None else "has workers='auto'"
        raise PipelineError(f"stage {stage} {other}, and an executor; only one of them says where it runs")
    if is_async and (workers is not None or threads is not None):
        raise PipelineError(f"stage {stage} is async; give concurrency= in the place of {given[0]}=")
    if is_async and kind != "map":
        raise PipelineError(f"stage {stage} is async, and {kind}() takes a plain function; map() takes both")
    if options.concurrency is not None and not is_async:
        raise PipelineError(
            f"stage {stage} is no async def; give workers= or threads= in the place of concurrency="
        )
    if options.key is not None and workers == "auto":
        raise PipelineError(f"stage {stage} has a key; it needs a fixed number of workers, not 'auto'")


def _check_workers(stage: str, word: str, value: Any) -> None:
    if value != "auto":
        checks.check_count(stage, word, value, 1)


def _check_blas_threads(stage: str, word: str, value: Any) -> None:
    if isinstance(value, str):
        if value != "any":
            raise PipelineError(f"{word} of {stage} is {value!r}; it must be a number of threads, or 'any'")
    else:
        checks.check_count(stage, word, value, 1)


def _check_on_error(stage: str, word: str, value: Any) -> None:
    if not callable(value) and value not in ("stop", "skip", "dead_letter", "yield"):
        raise PipelineError(
            f"{word} of {stage} is {value!r}; it must be 'stop', 'skip', 'dead_letter', 'yield' or a function"
        )


def _check_key(_stage: str, word: str, value: Any) -> None:
    checks.check_function(word, value)


_PLACES = ("workers", "threads", "concurrency")
_NOT_OF_WORKERS = {"name", "on_error", "backoff", "ordered", "args", "kwargs", "unpack"}
"""What a stage may say and still be done by the workers of the stage before."""

_CHECKS: dict[str, Callable[[str, str, Any], None]] = {
    "workers": _check_workers,
    "threads": partial(checks.check_count, least=1),
    "concurrency": partial(checks.check_count, least=1),
    "key": _check_key,
    "retries": partial(checks.check_count, least=0),
    "backoff": partial(checks.check_seconds, zero=True),
    "timeout": checks.check_seconds,
    "setup_timeout": checks.check_seconds,
    "teardown_timeout": checks.check_seconds,
    "on_error": _check_on_error,
    "args": check_args,
    "kwargs": check_kwargs,
    "unpack": checks.check_flag,
    "max_items_per_worker": partial(checks.check_count, least=1),
    "inline": checks.check_flag,
    "blas_threads": _check_blas_threads,
    "max_in_flight": check_bound,
}
"""For each option what is told the stage, the option and its value if it was given, and raises if that is not right."""


def _checked_executor(stage: str, executor: Any) -> Any:
    """What has `submit(function, *arguments)`; of a client of dask's or Ray's, what does.

    Raises:
        PipelineError: it is nothing that takes work.
    """
    if callable(getattr(executor, "get_executor", None)):  # a client of dask.distributed
        return executor.get_executor(pure=False)
    if (ray := ray_of(executor)) is not None:
        return RayExecutor(ray)
    if not callable(getattr(executor, "submit", None)):
        raise PipelineError(
            f"executor of {stage} is {executor!r:.60}; it must have submit(function, *arguments) that returns a "
            "future, as those of concurrent.futures, loky and mpi4py have, or be a client of dask or Ray"
        )
    return executor


def _parallelism(executor: Any) -> int:
    """How many submissions an executor works on at a time, as far as that can be told."""
    workers = getattr(executor, "_max_workers", None)
    if isinstance(workers, int) and workers > 0:
        return workers
    client: Any = getattr(executor, "_client", None)
    if callable(getattr(client, "nthreads", None)):
        return max(int(sum(client.nthreads().values())), 1)
    return processors()
