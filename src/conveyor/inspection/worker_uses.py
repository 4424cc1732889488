"""WorkerUses: which of the processes that `Workers` keep are used by a run at this moment."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ..pipeline.base.worker_state import WorkerState
from .pipeline_view import IDLE, PipelineView
from .worker_view import WorkerView

__all__ = ["WorkerUses"]


class WorkerUses:
    """What is known of `Workers` by what else is seen.

    They tell only which processes they have, when that changes: to tell of each use would cost each run something. A
    run that lasts is seen by itself, with the processes that it has.

    Args:
        views: all that is seen.
    """

    def __init__(self, views: Iterable[PipelineView]) -> None:
        self._views = list(views)
        self._used = {
            (view.pid, worker.pid): worker
            for view in self._views
            if view.kind == "pipeline"
            for worker in view.workers
            if worker.pid and worker.state is not WorkerState.GONE
        }

    def shown(self) -> list[PipelineView]:
        """All that is seen; of `Workers` with what their processes are at."""
        return [
            self._told(view) if view.kind == "workers" and not view.error else view for view in self._views
        ]

    def _told(self, view: PipelineView) -> PipelineView:
        workers = tuple(self._state(view.pid, worker) for worker in view.workers)
        there = sum(worker.state is not WorkerState.GONE for worker in workers)
        used = sum((view.pid, worker.pid) in self._used for worker in workers)
        stages = tuple(replace(stage, workers=there, in_flight=used) for stage in view.stages)
        return replace(
            view, workers=workers, stages=stages, phase="running" if used else IDLE, in_flight=used
        )

    def _state(self, pid: int, worker: WorkerView) -> WorkerView:
        if (run := self._used.get((pid, worker.pid))) is not None:
            return replace(
                worker,
                state=run.state,
                item_seconds=run.item_seconds,
                attempt=run.attempt,
                outstanding=run.outstanding,
            )
        if worker.rss == 0:  # what is left of a process until its parent looks
            return replace(worker, state=WorkerState.GONE, end="it is replaced when it is needed", rss=None)
        return worker
