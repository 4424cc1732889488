"""pipeline_row: a run, as the page shows it, of what is seen of it from outside."""

from __future__ import annotations

from ..inspection.failure_view import FailureView
from ..inspection.pipeline_view import IDLE, PipelineView
from ..inspection.worker_view import WorkerView
from .rows import Failure, PipelineRow, StageRow, WorkerRow

__all__ = ["pipeline_row"]


def pipeline_row(view: PipelineView) -> PipelineRow:
    """The row of one run; of one that cannot be read, little more than its error."""
    stages = [
        StageRow(
            stage.name,
            stage.kind,
            stage.taken,
            stage.given,
            stage.rate,
            stage.waiting,
            stage.in_flight,
            stage.failures,
            stage.retries,
            stage.deaths,
            stage.ended,
            stage.bottleneck,
            stage.load,
            [view.stages[number].name for number in stage.feeds if number < len(view.stages)],
            [_worker(each) for each in view.workers if each.stage_number == place],
        )
        for place, stage in enumerate(view.stages)
    ]
    return PipelineRow(
        view.id,
        view.name or f"{view.kind} of process {view.pid}",
        view.pid,
        view.seconds + (view.age if view.phase == "running" else 0.0),
        view.taken,
        view.total,
        view.results,
        view.failures,
        view.in_flight,
        next((stage.name for stage in view.stages if stage.bottleneck), ""),
        stages,
        view.phase,
        view.left,
        0.0 if view.phase == IDLE else view.age,
        [_failure(each) for each in view.failure_groups],
        view.error,
        view.kind,
    )


def _worker(view: WorkerView) -> WorkerRow:
    seconds = view.busy_seconds + view.wait_seconds
    return WorkerRow(
        view.pid,
        str(view.state),
        view.busy_seconds / seconds if seconds else 0.0,
        view.items,
        view.item_seconds,
        view.restarts,
        view.rss,
        view.history,
        view.end,
    )


def _failure(view: FailureView) -> Failure:
    return Failure(
        view.stage, view.kind, view.count, view.item, view.message, view.where, view.traceback, view.time
    )
