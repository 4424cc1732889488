"""Rows: what a line of the view is about, and how people look for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ...inspection.executor_view import ExecutorView
from ...inspection.pipeline_view import PipelineView
from ...inspection.process_view import ProcessView
from ...inspection.queue_history import QueueRates
from ...inspection.segment_view import SegmentView, Waiter
from ...inspection.stage_view import StageView
from ...inspection.worker_view import WorkerView
from .units import duration

__all__ = ["Held", "Member", "Pool", "Row", "Step", "Worker"]


@dataclass(frozen=True, slots=True)
class Held:
    """A row that is shared memory."""

    view: SegmentView
    rates: QueueRates
    apart: float
    """Seconds between the last two looks: what is shorter is not told apart from nothing."""

    @property
    def age(self) -> str:
        """How old the oldest is that waits: `>12s` when it was there before anybody looked."""
        if self.rates.oldest_age is None:
            return ""
        return (">" if self.rates.at_least else "") + duration(self.rates.oldest_age)

    @property
    def waits(self) -> str:
        """What the one who waits longest waits for, how long, and how many wait: `item 3.2s x4`."""
        if not self.view.waiters:
            return ""
        first, *others = self.view.waiters
        more = f" x{len(others) + 1}" if others else ""
        return f"{first.what} {duration(first.seconds)}{more}"

    @property
    def id(self) -> str:
        """What tells it from all other rows, at every look."""
        return self.view.id

    @property
    def words(self) -> str:
        """What people look for it by."""
        return " ".join(filter(None, (self.view.title, self.view.url, self.view.place, self.view.kind)))


@dataclass(frozen=True, slots=True)
class Step:
    """A row that is a pipeline, or a stage of one."""

    pipeline: PipelineView
    number: int
    """Of the stage; -1: it is the pipeline itself."""
    branches: str
    """Of the tree, before the name."""

    @property
    def stage(self) -> StageView | None:
        """The stage; None: it is the pipeline itself."""
        return self.pipeline.stages[self.number] if self.number >= 0 else None

    @property
    def id(self) -> str:
        """What tells it from all other rows, at every look."""
        return f"pipeline {self.pipeline.id} {self.number}"

    @property
    def words(self) -> str:
        """What people look for it by."""
        return f"{self.pipeline.name} {self.pipeline.place} {self.pipeline.pid} {self.stage.name if self.stage else ''}"


@dataclass(frozen=True, slots=True)
class Worker:
    """A row that is a worker of a pipeline."""

    pipeline: PipelineView
    number: int
    """Among the pipeline's workers."""

    @property
    def view(self) -> WorkerView:
        """What is known of it."""
        return self.pipeline.workers[self.number]

    @property
    def busy(self) -> float:
        """The share of its time, up to now, in which it had an item."""
        seconds = self.view.busy_seconds + self.view.wait_seconds
        return self.view.busy_seconds / seconds if seconds > 0 else 0.0

    @property
    def id(self) -> str:
        """What tells it from all other rows, at every look."""
        return f"worker {self.pipeline.id} {self.view.stage_number} {self.view.place} {self.view.pid}"

    @property
    def words(self) -> str:
        """What people look for it by."""
        return f"{self.pipeline.name} {self.pipeline.place} {self.view.stage} {self.view.pid}"


@dataclass(frozen=True, slots=True)
class Pool:
    """A row that is an executor, or `Workers`."""

    pipeline: PipelineView
    figures: ExecutorView

    @property
    def id(self) -> str:
        """What tells it from all other rows, at every look."""
        return f"executor {self.pipeline.id}"

    @property
    def words(self) -> str:
        """What people look for it by."""
        return f"{self.pipeline.name} {self.pipeline.place} {self.pipeline.pid} {self.pipeline.kind}"


@dataclass(frozen=True, slots=True)
class Member:
    """A row that is a process."""

    view: ProcessView
    cpu: float | None
    segments: int
    waits: tuple[Waiter, str] | None
    """For what one of its threads waits longest, and the title of where."""

    @property
    def id(self) -> str:
        """What tells it from all other rows, at every look."""
        return f"pid {self.view.pid}"

    @property
    def words(self) -> str:
        """What people look for it by."""
        return f"{self.view.pid} {self.view.command}"


class Row(Protocol):
    """What every row has."""

    @property
    def id(self) -> str:
        """What tells it from all other rows, at every look."""
        ...

    @property
    def words(self) -> str:
        """What people look for it by."""
        ...
