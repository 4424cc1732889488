"""Snapshot: what is there at one look, and how fast it goes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .process_view import ProcessView
from .queue_history import QueueRates
from .segment_view import SegmentView
from .survey import Survey

if TYPE_CHECKING:
    from .pipeline_view import PipelineView

__all__ = ["Snapshot"]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One look of a `Watch`."""

    survey: Survey
    """What was seen."""
    seconds: float
    """Since the look before; 0: this is the first one, and nothing is known of rates."""
    rates: Mapping[str, QueueRates]
    """Of queues and topics, by `SegmentView.id`. What is put into a topic is what is published, and it is taken when
    the slowest subscriber has read it."""
    cpu: Mapping[int, float]
    """By pid: the share of one processor that the process took over the last seconds, 1.0 a whole one."""
    runs: tuple[PipelineView, ...] = ()
    """Pipelines that run, executors and `Workers`, the first one first."""

    @property
    def pipelines(self) -> list[PipelineView]:
        """Those that run."""
        return [each for each in self.runs if each.kind == "pipeline"]

    @property
    def executors(self) -> list[PipelineView]:
        """Executors and `Workers`."""
        return [each for each in self.runs if each.kind != "pipeline"]

    @property
    def queues(self) -> list[SegmentView]:
        """The queues, by title."""
        return [each for each in self.survey.segments if each.kind == SegmentView.QUEUE]

    @property
    def topics(self) -> list[SegmentView]:
        """The topics, by title."""
        return [each for each in self.survey.segments if each.kind == "topic"]

    @property
    def others(self) -> list[SegmentView]:
        """Dicts, lists, arrays, locks and such; and what cannot be read."""
        return [each for each in self.survey.segments if each.kind not in (SegmentView.QUEUE, "topic")]

    @property
    def processes(self) -> list[ProcessView]:
        """Those that have one of them open, by pid."""
        return list(self.survey.processes.values())

    def as_dict(self) -> dict[str, Any]:
        """For JSON: what `conveyor top --json` prints. Bytes, seconds, counts and pids are plain numbers.

        Keys are added in time, and not taken away.
        """
        return {
            "time": self.survey.time,
            "seconds": self.seconds,
            "queues": [self._with_rates(each) for each in self.queues],
            "topics": [self._with_rates(each) for each in self.topics],
            "others": [each.as_dict() for each in self.others],
            "pipelines": [each.as_dict() for each in self.pipelines],
            "executors": [self._executor(each) for each in self.executors],
            "processes": [{**each.as_dict(), "cpu": self.cpu.get(each.pid)} for each in self.processes],
        }

    def _executor(self, run: PipelineView) -> dict[str, Any]:
        from .executor_view import ExecutorView

        figures = ExecutorView.of(run, self.cpu).as_dict()
        figures["worker_processes"] = [
            {**each.as_dict(), "cpu": self.cpu.get(each.pid)} for each in run.workers
        ]
        figures["failure_groups"] = [each.as_dict() for each in run.failure_groups]
        return figures

    def _with_rates(self, segment: SegmentView) -> dict[str, Any]:
        return {**segment.as_dict(), "rates": self.rates[segment.id].as_dict()}
