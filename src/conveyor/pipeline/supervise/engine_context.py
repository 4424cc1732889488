"""EngineContext: what the nodes of a run may ask of its engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from ..base.events import Event
from ..base.failure import Failure
from ..graph.stage import Stage, Where
from ..worker.serve import Job
from .handle import WorkerHandle
from .stage_port import StagePort

__all__ = ["EngineContext"]


class EngineContext(Protocol):
    """What a node may ask of its engine."""

    now: Callable[[], float]
    """The time, by the clock of the run."""
    uniform: Callable[[float, float], float]
    """A number drawn between two others."""

    def tell(self, event: Event) -> None:
        """Pass on news to the caller of the run."""
        ...

    def decide(self, failure: Failure, stage: Stage, *, may_retry: bool, origin: Any = None) -> Any:
        """What becomes of an item that failed: a `Retry`, or what takes its place among the results.

        Args:
            failure: what happened; its `attempts` are those of all workers.
            stage: whose function failed.
            may_retry: whether another attempt is possible at all.
            origin: what of the source the item came of; None: nobody keeps account of that.
        """
        ...

    def fail(self, error: BaseException, now: bool = True) -> None:
        """The run cannot go on: end it, and raise this."""
        ...

    def fail_after(self, error: BaseException) -> None:
        """Raise this when all that was taken in is finished."""
        ...

    def drain(self) -> object:
        """Take no more input, finish what was taken in, and end."""
        ...

    def begun(self, origins: list[Any] | None) -> None:
        """Values have come out of the source."""
        ...

    def fanned_out(self, origin: Any, count: int) -> None:
        """A value that came of `origin` became so many, 0 included."""
        ...

    def start_worker(self, stage_port: StagePort, job: Job, where: Where) -> WorkerHandle:
        """Start a worker.

        Raises:
            OSError: the system gives no memory, or no more processes.
            PipelineError: what it is to do cannot be sent to it.
        """
        ...

    def said(self, pid: int, what: str, data: bytes) -> None:
        """A worker has logged, warned of or printed something; see `Voice`."""
        ...

    def unwatch(self, handle: WorkerHandle) -> None:
        """A worker is gone."""
        ...

    @property
    def ending(self) -> bool:
        """Whether nothing new is to be begun."""
        ...

    def exit_cause(self, exitcode: int | None) -> str:
        """What is likely to have killed a worker just now; empty if nothing is known."""
        ...
