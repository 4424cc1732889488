"""World: the only door from a run's scheduler to the outside."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from ..base.clock import Clock
from ..graph.stage import Where
from ..sources.source import Source
from ..worker.serve import Job
from .handle import WorkerHandle
from .poller import Poller
from .stage_port import StagePort

__all__ = ["Workforce", "World"]


class Workforce(Protocol):
    """Starts the workers of one run."""

    def get_ready(self, jobs: list[Job]) -> None:
        """Get ready to start processes; called before anything of the program's runs in a thread of the run's.

        Args:
            jobs: what the processes may have to do.
        """
        ...

    def start_worker(self, stage_port: StagePort, job: Job, where: Where) -> WorkerHandle:
        """Start a worker; see `Desk.start_worker`."""
        ...

    def source(self, given: Any, wake: Callable[[], None], leased: bool) -> Source[Any]:
        """What reads from a pipeline's source.

        Args:
            given: the source, as the pipeline has it.
            wake: called, in any thread, when there is something to read.
            leased: its items are leased, and acknowledged when they are dealt with.
        """
        ...

    def end_processes(self) -> None:
        """No worker process is started any more; those that were have ended."""
        ...

    def end_loop(self) -> None:
        """No coroutine runs any more."""
        ...


class World(Clock, Protocol):
    """What a run needs of the outside: time, waiting, workers. The scheduler reaches for nothing else.

    `RealWorld` is the machine. A simulated one has the same scheduler run without processes, in virtual time, with
    every choice drawn from a seed.
    """

    def poller(self, outlet: int | None) -> Poller:
        """What a run waits by.

        Args:
            outlet: a descriptor that results are written to; None: there is none.
        """
        ...

    def workforce(
        self, tell: Callable[[WorkerHandle], None], failed: Callable[[BaseException], None]
    ) -> Workforce:
        """What starts the workers of a run.

        Args:
            tell: called, in any thread, with a worker that no poller watches when it has results.
            failed: called, in any thread, with what ends the run from outside of its functions.
        """
        ...

    @property
    def is_seen(self) -> bool:
        """Whether other programs may see what runs in it."""
        ...

    @property
    def spin(self) -> Callable[[list[Any], float], bool]:
        """Whether one of these channels has something, within so many seconds; keeps the processor meanwhile."""
        ...

    def exit_cause(self, exitcode: int | None) -> str:
        """What is likely to have killed a worker just now; empty if nothing is known."""
        ...
