"""check_worker_options: what a stage says of the life of its workers fits who they are."""

from __future__ import annotations

from typing import Any

from ...errors import PipelineError
from ..base.byte_size import bytes_of
from ..worker.identity import takes_worker
from . import checks
from .stage import Where
from .stage_options import StageOptions

__all__ = ["check_worker_options"]

_ASKED = ("setup", "teardown")


def check_worker_options(stage: str, function: Any, options: StageOptions, where: Where) -> None:
    """An initializer, limits of what a worker does before it is renewed, and functions that ask for the worker.

    Args:
        stage: its name, as errors have it.
        function: what is called for each item.
        options: what was said of it.
        where: who does it.

    Raises:
        TypeError, PipelineError: something of it cannot be.
    """
    initializer, memory = options.initializer, options.max_worker_memory
    if initializer is not None:
        checks.check_function("initializer", initializer)
        checks.check_arity("initializer", initializer, 0)
    if memory is not None:
        bytes_of(memory, f"max_worker_memory of {stage}")
        if where != "processes":
            raise PipelineError(
                f"stage {stage} has max_worker_memory and runs in {_words(where)}, whose memory is nobody's alone; "
                "give workers=, or max_items_per_worker="
            )
    if where != "executor":
        return
    asks = takes_worker(function, 1) or any(takes_worker(getattr(function, name, None)) for name in _ASKED)
    for word, is_so in (
        ("an initializer", initializer is not None),
        ("max_items_per_worker", options.max_items_per_worker is not None),
        ("a parameter 'worker'", asks),
    ):
        if is_so:
            raise PipelineError(
                f"stage {stage} has {word}, and an executor, whose workers are its own: they have no rank, and are "
                "started and ended by it; say it to the executor, or give workers="
            )


def _words(where: Where) -> str:
    return {
        "threads": "threads",
        "coroutines": "coroutines",
        "executor": "an executor",
        "inline": "this process",
    }.get(where, where)
