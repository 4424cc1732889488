"""Stage: what a pipeline says of one stage."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from ..base.byte_size import bytes_of
from ..worker.arguments import Arguments
from ..worker.functions import FunctionStep, Kind
from ..worker.serve import Job
from .stage_options import OnError, StageOptions

__all__ = ["OnError", "Stage", "Where", "inlined", "job_of"]

Where: TypeAlias = Literal["processes", "threads", "coroutines", "executor", "inline"]


@dataclass(frozen=True, kw_only=True)
class Stage(StageOptions):
    """One function of a pipeline that is called for each item, and how: its options, and what follows from them."""

    name: str = ""
    kind: Kind
    function: Any
    where: Where = "processes"
    ordered: bool = False
    joins: bool = False
    """Whether it is done by the workers of the stage before."""

    @property
    def link(self) -> FunctionStep:
        """As workers need it."""
        return self.link_of(self.function)

    def link_of(self, function: Any) -> FunctionStep:
        """The same with the worker's own copy of the function."""
        called = function if instrument is None else instrument(self, function)
        return FunctionStep(self.kind, called, self.arguments, self.initializer)

    @property
    def arguments(self) -> Arguments | None:
        """What the function is called with; None: the item."""
        if not (self.args or self.kwargs or self.unpack):
            return None
        return Arguments(tuple(self.args), dict(self.kwargs or {}), self.unpack)

    def on(self) -> str:
        """Who does it, in words."""
        if self.joins:
            return "in the workers of the stage before"
        if self.where == "coroutines":
            return f"{self.workers} at a time as coroutines"
        if self.where == "inline":
            return "in this process"
        if self.where == "executor":
            return f"{self.workers} at a time by {type(self.executor).__name__}"
        if self.workers is None:
            return "a process for each processor" if self.where == "processes" else self.where
        count = "as many as it takes of the" if self.workers == "auto" else self.workers
        kind = "threads" if self.where == "threads" else "processes"
        return (
            f"{count} {kind if self.workers != 1 else kind.removesuffix('s').replace('processe', 'process')}"
        )


def inlined(stage: Stage) -> Stage:
    """The stage as it is in this process and thread, which has no time limits; a coroutine stage as it is."""
    if stage.where == "coroutines":
        return stage
    return dataclasses.replace(
        stage,
        where="inline",
        workers=1,
        executor=None,
        timeout=None,
        setup_timeout=None,
        teardown_timeout=None,
    )


instrument: Callable[[Stage, Any], Any] | None = None
"""What makes of a stage's function the one that workers call; None: nothing does. See `conveyor.telemetry`."""


def job_of(specs: list[Stage], most: int) -> Job:
    """What the workers of these stages, so many at most, do to each item, one stage after the other."""
    first = specs[0]
    # For the next items of its key to wait, the worker itself must try it again.
    retries = first.retries if first.key is not None else 0
    eager = all(spec.on_error == "stop" and not spec.retries for spec in specs)
    memory = first.max_worker_memory
    return Job(
        tuple(spec.link for spec in specs),
        retries,
        first.backoff,
        eager,
        stage=first.name,
        count=most,
        has_process=first.where == "processes",
        max_items=first.max_items_per_worker,
        max_memory=None if memory is None else bytes_of(memory),
    )
