"""Sections: queues, topics, other shared memory, runs and processes, each a table with columns of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...inspection.executor_view import ExecutorView
from ...inspection.pipeline_view import PipelineView
from ...inspection.queue_history import QueueRates
from ...inspection.segment_view import Waiter
from ...inspection.snapshot import Snapshot
from .executor_columns import executor_columns
from .memory_columns import other_columns, queue_columns, topic_columns
from .rows import Held, Member, Pool, Row, Step, Worker
from .run_columns import pipeline_columns, process_columns, worker_columns
from .table import Column
from .text import Glyphs

__all__ = ["Section", "sections"]


@dataclass(frozen=True, slots=True)
class Section:
    """A table's name, columns and rows."""

    name: str
    columns: Sequence[Column[Any]]
    rows: Sequence[Row]

    def sorted_by(self, title: str, largest_first: bool) -> Section:
        """The same, with its rows in the order of a column; as they are, if there is none of that title."""
        for column in self.columns:
            if column.title == title and column.sort is not None:
                rows = sorted(self.rows, key=column.sort, reverse=largest_first)
                return Section(self.name, self.columns, rows)
        return self


def sections(snapshot: Snapshot, glyphs: Glyphs, keep: Callable[[str], bool]) -> list[Section]:
    """What there is to see, those that are empty left out.

    Args:
        snapshot: what was seen.
        glyphs: what is drawn with.
        keep: whether rows that are looked for by these words are shown.
    """
    nothing = QueueRates()
    held = {
        name: [Held(each, snapshot.rates.get(each.id, nothing), snapshot.seconds) for each in views]
        for name, views in (
            ("QUEUES", snapshot.queues),
            ("TOPICS", snapshot.topics),
            ("SHARED", snapshot.others),
        )
    }
    columns: Mapping[str, Sequence[Column[Held]]] = {
        "QUEUES": queue_columns(glyphs),
        "TOPICS": topic_columns(),
        "SHARED": other_columns(),
    }
    found = [
        Section(name, columns[name], [row for row in rows if keep(row.words)]) for name, rows in held.items()
    ]
    steps = [row for each in snapshot.pipelines for row in _steps(each, glyphs) if keep(row.words)]
    found.append(Section("PIPELINES", pipeline_columns(glyphs), steps))
    pools = (Pool(each, ExecutorView.of(each, snapshot.cpu)) for each in snapshot.executors)
    found.append(Section("EXECUTORS", executor_columns(glyphs), [row for row in pools if keep(row.words)]))
    workers = (Worker(each, number) for each in snapshot.runs for number in range(len(each.workers)))
    found.append(Section("WORKERS", worker_columns(), [row for row in workers if keep(row.words)]))
    members = [row for row in _members(snapshot) if keep(row.words)]
    found.append(Section("PROCESSES", process_columns(), members))
    return [each for each in found if each.rows]


def _steps(pipeline: PipelineView, glyphs: Glyphs) -> list[Step]:
    """The pipeline, and its stages under it: what stands behind a fork is a step further in."""
    rows = [Step(pipeline, -1, "")]
    depths = [0] * len(pipeline.stages)
    for number, stage in enumerate(pipeline.stages):
        last = number == len(pipeline.stages) - 1
        branch = glyphs.last_branch if last else glyphs.branch
        rows.append(Step(pipeline, number, "  " * depths[number] + branch + " "))
        for fed in stage.feeds:
            if number < fed < len(depths):
                depths[fed] = max(depths[fed], depths[number] + (len(stage.feeds) > 1))
    return rows


def _members(snapshot: Snapshot) -> list[Member]:
    counts: dict[int, int] = {}
    waits: dict[int, tuple[Waiter, str]] = {}
    for segment in snapshot.survey.segments:
        for pid in segment.users:
            counts[pid] = counts.get(pid, 0) + 1
        for waiter in segment.waiters:
            if waiter.pid not in waits or waiter.seconds > waits[waiter.pid][0].seconds:
                waits[waiter.pid] = waiter, segment.title
    return [
        Member(each, snapshot.cpu.get(each.pid), counts.get(each.pid, 0), waits.get(each.pid))
        for each in snapshot.processes
    ]
