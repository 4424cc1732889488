"""make_meet: the arguments of `merge` and `zip` with other sources, checked and put together."""

from __future__ import annotations

from typing import Any, Literal, cast

from ...errors import PipelineError
from . import checks
from .graph import Graph, Meet, Reduce, Split, To

__all__ = ["make_meet"]


def make_meet(
    how: Literal["merge", "zip"],
    name: str,
    graphs: list[Graph],
    *,
    weights: Any = None,
    priorities: Any = None,
    strict: Any = False,
) -> Meet:
    """The step at which the first of these meets the others.

    Args:
        how: "merge" or "zip".
        name: what reports call it.
        graphs: what meets, each with a source.
        weights, priorities, strict: see `Pipeline.merge` and `Pipeline.zip`.

    Raises:
        TypeError, PipelineError: an argument is not as it should be.
    """
    for number, graph in enumerate(graphs, 1):
        which = f"pipeline {number} of {how}()"
        if graph.source is None:
            raise PipelineError(
                f"{which} has no source; give Pipeline(source), or an iterable or a queue itself; the branches of a "
                "split() are brought together by merge() behind it"
            )
        last = graph.steps[-1] if graph.steps else None
        if isinstance(last, (To, Reduce)):
            raise PipelineError(f"{which} ends in {last.name!r}, so that nothing comes out; use tee() there")
        if number > 1 and isinstance(last, Split):
            raise PipelineError(f"{which} ends in a split(); say merge() behind it first")
    if not isinstance(strict, bool):
        raise TypeError(f"strict of {how}() is {strict!r}; it must be True or False")
    return Meet(
        name,
        how,
        tuple(graphs[1:]),
        _numbers(how, "weights", weights, len(graphs), 1),
        _numbers(how, "priorities", priorities, len(graphs), None),
        strict,
    )


def _numbers(how: str, argument: str, given: Any, count: int, least: int | None) -> tuple[int, ...] | None:
    if given is None:
        return None
    if not isinstance(given, (list, tuple)):
        raise TypeError(
            f"{argument} of {how}() is {given!r:.60}; it must be a tuple of {count} integers, one for each"
        )
    numbers = tuple(cast("list[Any]", given))
    if len(numbers) != count:
        raise PipelineError(
            f"{argument} of {how}() has {len(numbers)} numbers, and {count} pipelines meet; give one for each"
        )
    for number in numbers:
        if not isinstance(number, int) or isinstance(number, bool):
            raise TypeError(f"{argument} of {how}() has {number!r} in it; it must have integers")
        if least is not None:
            checks.check_count(f"{how}()", argument, number, least)
    return numbers
