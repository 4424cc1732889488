"""ExecutorView: an executor, or `Workers`, in the words of those who use one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ..pipeline.base.worker_state import WorkerState
from .pipeline_view import PipelineView

__all__ = ["ExecutorView"]


@dataclass(frozen=True, slots=True)
class ExecutorView:
    """An executor at one moment. What is counted only grows; of `Workers`, their runs tell of items themselves."""

    id: str
    """By which it is known from one look to the next; of no meaning."""
    kind: str
    """`executor`: a `ProcessPoolExecutor`; `workers`: a `conveyor.Workers`."""
    name: str
    """What it was called; if it was given no name, the line that made it."""
    place: str
    """The line that made it, as in `srv/jobs.py:12`; empty: not known."""
    pid: int
    """The process that has it."""
    phase: str
    """`running`; `idle`: it has nothing to do; `ending`: the workers leave."""
    seconds: float
    """Since it started its first worker."""
    pending: int
    """Calls that have not begun."""
    running: int
    """Calls that workers are at; of `Workers`, processes that a run has."""
    done: int
    """Calls that have returned."""
    failed: int
    """Calls that have failed for good: raised, took too long, or lost their worker."""
    retries: int
    rate: float
    """Calls that ended per second, in the last few seconds."""
    load: float
    """The share of its workers' time that they were busy in the last few seconds; 0 to 1."""
    workers: int
    """Processes that are there."""
    most_workers: int
    """How many it may have."""
    restarts: int
    """Processes that died, and were replaced or are when they are needed."""
    cpu: float | None
    """The share of one processor that they took over the last seconds, all together; None: not known yet."""
    rss: int | None
    """Bytes of them in RAM, shared pages counted for each; None: that cannot be told."""
    error: str
    """Why only the pid is known; else empty."""

    @classmethod
    def of(cls, view: PipelineView, cpu: Mapping[int, float] | None = None) -> ExecutorView:
        """The executor that was seen.

        Args:
            view: one whose `kind` is not `pipeline`.
            cpu: by pid: the share of one processor that the process took; None: nobody knows.
        """
        there = [worker for worker in view.workers if worker.state is not WorkerState.GONE]
        stage = next((one for one in view.stages if one.kind == "processes"), None)
        waiting = sum(one.waiting for one in view.stages)
        if view.kind == "workers":
            running = view.in_flight
        else:
            running = min(sum(one.item_seconds is not None for one in there), view.in_flight)
        shares = [cpu[one.pid] for one in there if cpu is not None and one.pid in cpu]
        sizes = [one.rss for one in there if one.rss is not None]
        return cls(
            id=view.id,
            kind=view.kind,
            name=view.name,
            place=view.place,
            pid=view.pid,
            phase=view.phase,
            seconds=view.seconds,
            pending=waiting + (stage.in_flight - running if stage is not None else 0),
            running=running,
            done=max(view.results - view.failures, 0),
            failed=view.failures,
            retries=view.retries,
            rate=stage.rate if stage is not None else 0.0,
            load=stage.load if stage is not None else 0.0,
            workers=stage.workers if stage is not None else 0,
            most_workers=stage.most_workers if stage is not None else 0,
            restarts=stage.deaths if stage is not None else 0,
            cpu=sum(shares) if shares else None,
            rss=sum(sizes) if sizes else None,
            error=view.error,
        )

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)
