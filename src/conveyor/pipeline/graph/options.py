"""make_stage: the arguments of `map`, `filter` and `flat_map`, checked and put together."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from typing import Any, Literal

from ...errors import PipelineError
from ..worker.functions import Kind, is_worker_class
from . import checks
from .graph import Step
from .ray_executor import RayExecutor, ray_of
from .stage import OnError, Stage, Where

__all__ = ["make_stage"]

_CONCURRENCY = 100


def make_stage(
    before: Step | None,
    by_default: bool,
    unique: Callable[[str], str],
    kind: Kind,
    function: Any,
    workers: int | Literal["auto"] | None = None,
    threads: int | None = None,
    concurrency: int | None = None,
    ordered: bool | None = None,
    key: Callable[[Any], Any] | None = None,
    retries: int = 0,
    backoff: float = 1.0,
    timeout: float | None = None,
    setup_timeout: float | None = None,
    teardown_timeout: float | None = None,
    on_error: OnError = "stop",
    name: str | None = None,
    executor: Any = None,
) -> Stage:
    """A stage behind another; for the arguments from `kind` on see `Pipeline.map`.

    Args:
        before: the step before it, if there is one.
        by_default: whether it keeps order if it does not say.
        unique: makes a name one that no other step has.

    Raises:
        TypeError, PipelineError: an argument is not as it should be.
    """
    checks.check_function(kind, function)
    checks.check_arity(kind, function)
    called = function.__call__ if is_worker_class(function) else function
    is_async = inspect.iscoroutinefunction(called) or (
        not inspect.isroutine(called) and inspect.iscoroutinefunction(getattr(called, "__call__", None))  # noqa: B004
    )
    stage = repr(name or checks.name_of(function))
    given = [
        word
        for word, value in (("workers", workers), ("threads", threads), ("concurrency", concurrency))
        if value is not None
    ]
    if len(given) > 1:
        raise PipelineError(f"stage {stage} has {' and '.join(given)}; only one of them says where it runs")
    if workers is not None and workers != "auto":
        checks.check_count(stage, "workers", workers, 1)
    for word, value in (("threads", threads), ("concurrency", concurrency)):
        if value is not None:
            checks.check_count(stage, word, value, 1)
    checks.check_count(stage, "retries", retries, 0)
    checks.check_seconds(stage, "backoff", backoff, zero=True)
    limits = {"timeout": timeout, "setup_timeout": setup_timeout, "teardown_timeout": teardown_timeout}
    for word, limit in limits.items():
        if limit is not None:
            checks.check_seconds(stage, word, limit)
    if not callable(on_error) and on_error not in ("stop", "skip", "dead_letter", "yield"):
        raise PipelineError(
            f"on_error of {stage} is {on_error!r}; it must be 'stop', 'skip', 'dead_letter', 'yield' or a function"
        )
    if executor is not None and (is_async or threads is not None or workers == "auto"):
        other = "is async" if is_async else "has threads" if threads is not None else "has workers='auto'"
        raise PipelineError(f"stage {stage} {other}, and an executor; only one of them says where it runs")
    if is_async and (workers is not None or threads is not None):
        raise PipelineError(f"stage {stage} is async; give concurrency= in the place of {given[0]}=")
    if is_async and kind != "map":
        raise PipelineError(f"stage {stage} is async, and {kind}() takes a plain function; map() takes both")
    if concurrency is not None and not is_async:
        raise PipelineError(
            f"stage {stage} is no async def; give workers= or threads= in the place of concurrency="
        )
    if key is not None:
        checks.check_function("key", key)
        if workers == "auto":
            raise PipelineError(f"stage {stage} has a key; it needs a fixed number of workers, not 'auto'")
    where: Where = "processes"
    count: int | Literal["auto"] | None = workers
    if is_async:
        where, count = "coroutines", concurrency or _CONCURRENCY
    elif threads is not None:
        where, count = "threads", threads
    elif executor is not None:
        executor = _checked_executor(stage, executor)
        where, count = "executor", workers if isinstance(workers, int) else 2 * _parallelism(executor)
        if any(callable(getattr(function, word, None)) for word in ("teardown",)):
            raise PipelineError(
                f"stage {stage} has a teardown(), and an executor does not tell when its workers end; let setup() "
                "make what needs none"
            )
    says_nothing = (
        not (given or is_async or retries or ordered)
        and executor is None
        and key is None
        and set(limits.values()) == {None}
    )
    joins = (
        says_nothing
        and isinstance(before, Stage)
        and before.where != "coroutines"
        and (ordered is None or ordered == before.ordered)
    )
    return Stage(
        name=unique(name or checks.name_of(function)),
        kind=kind,
        function=function,
        where=before.where if joins and isinstance(before, Stage) else where,
        workers=count,
        ordered=by_default if ordered is None else ordered,
        key=key,
        retries=retries,
        backoff=float(backoff),
        timeout=timeout,
        setup_timeout=setup_timeout,
        teardown_timeout=teardown_timeout,
        on_error=on_error,
        executor=before.executor if joins and isinstance(before, Stage) else executor,
        joins=joins,
    )


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
    return len(os.sched_getaffinity(0))
