"""TaskEngine: the engine of a pipeline of one stage that does calls, and that costs nothing while there are none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..pipeline.engine.engine import Engine
from ..pipeline.graph.stage import Stage, Where
from ..pipeline.host.hearing import Hearing
from ..pipeline.planning.briefing import brief_workers, voice_of
from ..pipeline.supervise.handle import WorkerHandle
from ..pipeline.supervise.real_world import RealWorld
from ..pipeline.supervise.stage_port import StagePort
from ..pipeline.worker.serve import Job
from .settling_node import SettlingNode
from .task_call import TaskCall
from .task_node import TaskNode
from .task_source import TaskSource, TaskSourceNode

__all__ = ["TaskEngine"]

# While nothing is under way, what happens is told by descriptors: deaths, and new calls.
_IDLE_SECONDS = 3600.0


class TaskEngine(Engine):
    """An engine, and the calls that it makes.

    Args:
        max_workers: worker processes at most.
        start_method: how they are started; None: Python's default.
        initializer, initargs: what each calls first; None: nothing.
        max_tasks: calls after which a worker is replaced; None: it stays.
        lock: guards the states of futures.
    """

    def __init__(
        self,
        max_workers: int,
        start_method: str | None,
        initializer: Callable[..., object] | None,
        initargs: tuple[Any, ...],
        max_tasks: int | None,
        lock: Any,
    ) -> None:
        super().__init__(world=RealWorld(start_method), jobs=max_workers, said=Hearing().hear)
        spec = Stage(
            name="executor",
            kind="map",
            function=TaskCall(initializer, initargs),
            workers=max_workers,
            on_error="yield",
            max_items_per_worker=max_tasks,
        )
        self.tasks = TaskSource(self.poller.wake)
        """The calls that wait."""
        source = TaskSourceNode(self.tasks, self, lock)
        self.work = TaskNode(self, spec, max_workers)
        """Those that are being made."""
        end = SettlingNode("results")
        source.outlet, self.work.outlet = self.work, end
        self.work.inlets = end.inlets = 1
        self.work.feeder, end.feeder = source, self.work
        self.adopt([source, self.work, end])
        brief_workers(self.works, None, voice_of(start_method, True, False, False))

    @property
    def look_seconds(self) -> float:
        """How often it looks for itself at what it should be told of."""
        return _IDLE_SECONDS if self.work.is_empty else super().look_seconds

    def start_worker(self, stage_port: StagePort, job: Job, where: Where) -> WorkerHandle:
        """Start a worker, of which nothing is to be kept."""
        handle = super().start_worker(stage_port, job, where)
        handle.forget()
        return handle

    def get_ready(self) -> None:
        """Get ready to start processes, in the thread of the program's that submits the first call."""
        self.workforce.get_ready([self.work.job])
