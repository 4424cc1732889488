"""make_loop: the arguments of `loop`, checked and put together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...errors import PipelineError
from . import checks
from .graph import Batch, Graph, Loop, Reduce, Split, To

__all__ = ["make_loop"]


def make_loop(name: str, body: Any, unique: Any) -> Loop:
    """A loop.

    Args:
        name: what reports call it.
        body: the graph of the stages in it.
        unique: see `Pipeline.loop`.

    Raises:
        TypeError, PipelineError: an argument is not as it should be.
    """
    if not isinstance(body, Graph) or body.source is not None:
        shown = (
            f"a pipeline with the source {body.source!r:.40}" if isinstance(body, Graph) else f"{body!r:.60}"
        )
        raise PipelineError(
            f"loop() got {shown}; it must be a Pipeline() without a source, as in loop(Pipeline().flat_map(visit))"
        )
    if not body.steps:
        raise PipelineError("loop() got a Pipeline() without a stage, as in loop(Pipeline().flat_map(visit))")
    last = body.steps[-1]
    if isinstance(last, (To, Reduce)):
        raise PipelineError(
            f"the body of loop() ends in {last.name!r}, so that nothing goes back; use tee() there"
        )
    if isinstance(last, Split):
        raise PipelineError("the body of loop() ends in a split(); say merge() behind it first")
    for step in body.every_step():
        if isinstance(step, Batch) and step.seconds is None:
            raise PipelineError(
                f"{step.name!r} in the body of loop() may wait for ever for a list to be full, and the loop for it; "
                "give it seconds, as in batch(100, seconds=1)"
            )
    return Loop(name, body, _key(unique))


def _key(unique: Any) -> Callable[[Any], Any] | None:
    if unique is None or unique is False:
        return None
    if unique is True:
        return _itself
    checks.check_function("unique", unique)
    checks.check_arity("unique", unique)
    return unique  # type: ignore[no-any-return]


def _itself(value: Any) -> Any:
    return value
