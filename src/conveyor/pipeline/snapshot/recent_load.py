"""RecentLoad: which part of the last seconds each stage was busy, and which one holds up the others."""

from __future__ import annotations

from collections import deque

from ..operators.node import Node
from ..operators.source import SourceNode
from ..operators.tee import TeeNode
from ..operators.work import WorkNode
from ..report.bottleneck import tightest
from ..report.figures import StageReport
from .worker_figures import WorkerFigures

__all__ = ["RecentLoad"]

_SECONDS = 5.0
_MOST_POINTS = 32


class RecentLoad:
    """Looks at the stages now and then, and compares with what was a few seconds ago.

    Args:
        nodes: the run's.
        began: when it began: nobody had been busy by then.
    """

    def __init__(self, nodes: list[Node], began: float) -> None:
        self._nodes = nodes
        self._gone = [0.0] * len(nodes)  # what workers that are gone spent on items
        self._counted = [0] * len(nodes)  # how many of them that is of
        start = began, [0.0] * len(nodes)
        self._points: deque[tuple[float, list[float]]] = deque([start], maxlen=_MOST_POINTS)
        self.loads: list[float] = [0.0] * len(nodes)
        """For each stage the share of its workers' time, or of this process's, that it was busy; 0 to 1."""
        self.bottleneck: int | None = None
        """The stage that holds up the others; None: none stands out."""

    def look(self, now: float, workers: list[list[WorkerFigures]]) -> None:
        """Look at the stages.

        Args:
            now: the time.
            workers: of each stage those that are there.
        """
        spent = [self._spent(index, now, there) for index, there in enumerate(workers)]
        points = self._points
        points.append((now, spent))
        while len(points) > 2 and points[1][0] < now - _SECONDS:
            points.popleft()
        begin, before = points[0]
        seconds = now - begin
        if seconds <= 0:
            return
        reports: list[StageReport] = []
        for index, node in enumerate(self._nodes):
            size = max(len(workers[index]), 1)
            busy = min(max(spent[index] - before[index], 0.0), seconds * size)
            kind = node.spec.where if isinstance(node, WorkNode) else "engine"
            reports.append(StageReport(node.stage, kind, 0, 0, 0, 0, 0, 0, size=size, busy_seconds=busy))
        self.loads = [report.busy_seconds / report.size / seconds for report in reports]
        self.bottleneck = tightest(reports, seconds)

    def _spent(self, index: int, now: float, workers: list[WorkerFigures]) -> float:
        node = self._nodes[index]
        if isinstance(node, WorkNode):
            stats = node.pool.worker_stats
            while self._counted[index] < len(stats):
                self._gone[index] += stats[self._counted[index]].busy_seconds
                self._counted[index] += 1
            return self._gone[index] + sum(figures.busy_by(now) for figures in workers)
        if isinstance(node, SourceNode):
            return node.spent_by(now)
        return node.spent if isinstance(node, TeeNode) else 0.0
