"""PersistentWorld: the machine, where some worker processes were there before the run, and stay."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from ..graph.stage import Where
from ..supervise.handle import WorkerHandle
from ..supervise.real_world import RealWorld
from ..supervise.stage_port import StagePort
from ..supervise.start_worker import Hiring
from ..worker.serve import Job
from .orders import Order
from .processes import PersistentProcesses
from .worker import PersistentWorker

__all__ = ["PersistentWorld"]


class PersistentWorld(RealWorld):
    """The world of a run whose worker processes stay.

    Args:
        processes: where they come from.
    """

    def __init__(self, processes: PersistentProcesses) -> None:
        super().__init__(processes.context.get_start_method())
        self._processes = processes

    def workforce(
        self, tell: Callable[[WorkerHandle], None], failed: Callable[[BaseException], None]
    ) -> PersistentHiring:
        """See `World`."""
        return PersistentHiring(self._processes, tell, failed)


class PersistentHiring(Hiring):
    """Takes processes that are there. What cannot be sent to one, as a lambda, gets new ones that end with the run.

    Args:
        processes: where they come from.
        tell, failed: see `World`.
    """

    def __init__(
        self,
        processes: PersistentProcesses,
        tell: Callable[[WorkerHandle], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        super().__init__(processes.context, False, tell, failed)
        self._processes = processes
        self._fail: Callable[[BaseException], None] = failed
        self._orders: dict[int, Order] = {}  # by the identity of a job, which its stage keeps
        self._use = ExitStack()

    def get_ready(self, jobs: list[Job]) -> None:
        """See `Workforce`."""
        self._use.enter_context(self._processes.used_by(self._fail))
        others: list[Any] = []
        for job in jobs:
            order = self._processes.order_of(job)
            if order is None:
                others.append(job)
            else:
                self._orders[id(job)] = order
        super().get_ready(others)

    def start_worker(self, stage_port: StagePort, job: Job, where: Where) -> WorkerHandle:
        """See `Workforce`."""
        order = self._orders.get(id(job)) if where == "processes" else None
        if order is None:
            return super().start_worker(stage_port, job, where)
        return PersistentWorker(stage_port, self._processes, order)

    def end_processes(self) -> None:
        """See `Workforce`."""
        super().end_processes()
        self._use.close()
