"""SimulatedWorld: virtual time and workers without processes, for the true scheduler of a run."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from ...errors import NotSupported
from ..graph.stage import Where
from ..sources.keyed import Keyed
from ..sources.source import IterableSource, Source
from ..supervise.handle import WorkerHandle
from ..supervise.stage_port import StagePort
from ..worker.functions import PART_SIZE
from ..worker.serve import Job
from .fate import Fate
from .simulated_poller import SimulatedPoller
from .simulated_source import SimulatedSource
from .simulated_worker import SimulatedWorker
from .turns import Turns

__all__ = ["SimulatedWorld"]


class SimulatedWorld(Turns):
    """A `World` in which nothing happens but in turn, and in which every turn is drawn from a seed.

    The scheduler is the true one and so is what a worker does with an item; between them lie lists in the place of
    queues. Workers act while the scheduler waits, and, by chance, at any call that it makes to one of them. So what the
    scheduler sees is any of the orders in which processes could have done the same.

    Args:
        fate: what chance decides.
        part_size: results of one item that a worker sends at a time.
        source_pause: seconds from one item of the source to the next, at least and at most; None: a source that is no
            generator has all at once.
        trace: keep what happens, in words.
    """

    is_seen = False
    """Its time is not that of others."""

    def __init__(
        self,
        fate: Fate,
        *,
        part_size: int = PART_SIZE,
        source_pause: tuple[float, float] | None = None,
        trace: bool = False,
    ) -> None:
        super().__init__(fate, part_size=part_size, trace=trace)
        self._source_pause = source_pause
        self.workers: list[SimulatedWorker] = []
        """All workers that were started."""

    # -- as a `World` ------------------------------------------------------------------------------------

    def poller(self, outlet: int | None) -> SimulatedPoller:
        """What a run waits by."""
        if outlet is not None:
            raise NotSupported("a simulated run writes to no descriptor; iterate over its results")
        return SimulatedPoller(self)

    def workforce(
        self, tell: Callable[[WorkerHandle], None], failed: Callable[[BaseException], None]
    ) -> SimulatedWorld:
        """What starts the workers of a run: this world, which has one."""
        self._tell = tell
        return self

    def exit_cause(self, exitcode: int | None) -> str:
        """Nothing is known of what killed a worker."""
        return ""

    # -- as a `Workforce` ---------------------------------------------------------------------------------

    def get_ready(self, jobs: list[Job]) -> None:
        """Nothing is to be got ready."""

    def start_worker(self, stage_port: StagePort, job: Job, where: Where) -> SimulatedWorker:
        """Start a worker."""
        if where == "executor":
            raise NotSupported(f"stage {stage_port.stage!r} has an executor, and a simulated world has none")
        if where == "coroutines":
            raise NotSupported(
                f"stage {stage_port.stage!r} is an async def, and a simulated world has no event loop; "
                "give a plain function that does the same, or run the pipeline with real workers"
            )
        self.moved()
        if where == "processes":
            job = self.copy_of(job, stage_port.stage)
        worker = SimulatedWorker(self, stage_port, job, where == "processes", self._tell)
        self.workers.append(worker)
        self.agents.append(worker.agent)
        return worker

    def source(self, given: Any, wake: Callable[[], None], leased: bool) -> Source[Any]:
        """What reads from a pipeline's source: in turn with all else."""
        if isinstance(given, Keyed):
            given = given.source
        if isinstance(given, IterableSource):
            return given  # pyright: ignore[reportUnknownVariableType]
        if callable(given) and not hasattr(given, "__iter__"):
            given = given()
        if not hasattr(given, "__iter__") or hasattr(given, "get_many"):
            raise NotSupported(
                f"the source is a {type(given).__name__}, which a simulated world cannot read; give a list or a "
                "generator of the items that it would bring"
            )
        pause = self._source_pause
        if pause is None and isinstance(given, (list, tuple, range)):
            return IterableSource(given, self.now)  # pyright: ignore[reportUnknownArgumentType]
        low, high = pause or (0.0, 0.0)
        items: Any = given
        return SimulatedSource(self, items, wake, lambda: self.uniform(low, high))  # pyright: ignore[reportUnknownArgumentType]

    def end_processes(self) -> None:
        """Every worker was closed by the run."""

    def end_loop(self) -> None:
        """There is none."""

    # -- workers -------------------------------------------------------------------------------------------

    def copy_of(self, job: Job, stage: str) -> Job:
        """A job as a process gets it: what has state is a copy."""
        try:
            return copy.deepcopy(job)
        except Exception as error:
            raise NotSupported(
                f"the function of stage {stage!r} cannot be copied ({type(error).__name__}: {error}), as it is for "
                "each process; give a class, of which each worker makes an object"
            ) from error
