"""Objects with a `setup()` or a `teardown()`: each worker has its own, also where workers share this process."""

from __future__ import annotations

import copy
import inspect
from typing import Any

from ...errors import PipelineError
from ..graph.stage import Stage
from ..worker.functions import FunctionStep

__all__ = ["check_rest", "has_life", "has_teardown", "lost_rest", "own_links"]


def has_teardown(function: Any) -> bool:
    """Whether each worker calls its `teardown()`."""
    return callable(getattr(function, "teardown", None))


def lost_rest(stage: str) -> PipelineError:
    """What to say where a teardown gives results, and the run keeps account of items."""
    return PipelineError(
        f"the teardown() of stage {stage!r} gives results, and the run keeps account of the items that are done "
        "(resume=, or a queue whose items are leased): what a worker has made of such items would be lost with it; "
        "give a result for each item and merge them by reduce(), or run without resume= and take the items by "
        "acknowledge='on_take'"
    )


def check_rest(spec: Stage, resumes: bool, leased: bool) -> None:
    """Its teardown gives no results where they might be lost, as far as that can be told before.

    Raises:
        PipelineError: it is a generator.
    """
    teardown = getattr(spec.function, "teardown", None)
    if (resumes or leased) and (
        inspect.isgeneratorfunction(teardown) or inspect.isasyncgenfunction(teardown)
    ):
        raise lost_rest(spec.name)


def has_life(function: Any) -> bool:
    """Whether it is an object, not a class, that each worker sets up or tears down."""
    return not isinstance(function, type) and (
        callable(getattr(function, "setup", None)) or has_teardown(function)
    )


def own_links(specs: list[Stage], most: int) -> tuple[FunctionStep, ...]:
    """What a new worker of a stage calls: where it shares this process, its own copies of what has a life.

    A process has copies anyway. One worker alone uses the object itself, unless a time limit may have it replaced
    by another.

    Args:
        specs: the stage's functions.
        most: workers that the stage may have.

    Raises:
        PipelineError: an object cannot be copied.
    """
    first = specs[0]
    limited = first.timeout is not None or first.setup_timeout is not None
    if first.where == "processes" or (most == 1 and not limited):
        return tuple(spec.link for spec in specs)
    known: dict[int, Any] = {}  # one object in two of the functions is one in each worker, too
    return tuple(spec.link_of(_own(spec, most, known)) for spec in specs)


def _own(spec: Stage, most: int, known: dict[int, Any]) -> Any:
    if not has_life(spec.function):
        return spec.function
    try:
        return copy.deepcopy(spec.function, known)
    except Exception as error:
        raise PipelineError(
            f"stage {spec.name!r} has up to {most} {spec.where}, each of which is to have its own object, because that "
            f"has a setup() or teardown(); but it cannot be copied ({type(error).__name__}: {error}); give the class, "
            "of which each worker makes an object, or have setup() make what cannot be copied"
        ) from error
