"""How a report is made of a run."""

from __future__ import annotations

import os
import resource
from pathlib import Path
from time import thread_time
from typing import TYPE_CHECKING, Any

from ..operators.inline import SinkNode, TeeNode
from ..operators.node import Node
from ..operators.source import SourceNode
from ..operators.work import WorkNode
from ..supervise.worker_stats import WorkerAccount
from ..worker.status_page import step_seconds
from .bottleneck import Pressure, bottleneck
from .report import Report, SlowItem, StageReport

if TYPE_CHECKING:
    from ..engine.engine import Engine
    from ..pipeline_run import Running

__all__ = ["Timeline", "make_report", "stage_reports"]

_POINTS = 400


class Timeline:
    """How many items each stage had given, every so often; in bounded memory."""

    def __init__(self) -> None:
        self.points: list[tuple[float, tuple[int, ...]]] = []
        self._every = 0.05
        self._next = 0.0
        self._thread_began = thread_time()
        self._own_began = _cpu_seconds(resource.RUSAGE_SELF)
        self._children_began = _cpu_seconds(resource.RUSAGE_CHILDREN)
        self._machine_began = _machine_ticks()

    def pressure(self, seconds: float, stages: list[StageReport], jobs: int) -> Pressure:
        """What the run cost its processors, beside the functions of its stages."""
        processors = len(os.sched_getaffinity(0))
        own = _cpu_seconds(resource.RUSAGE_SELF) - self._own_began
        children = _cpu_seconds(resource.RUSAGE_CHILDREN) - self._children_began
        worked = sum(stage.busy_seconds for stage in stages if stage.kind == "processes")
        busy, total = (now - began for now, began in zip(_machine_ticks(), self._machine_began, strict=True))
        inline = sum(
            stage.busy_seconds for stage in stages if stage.kind == "engine" and stage.name != "source"
        )
        return Pressure(
            seconds=seconds,
            jobs=jobs,
            processors=processors,
            taken=min(busy / total, 1.0) if total else 1.0,
            own=own / seconds if seconds else 0.0,
            hub=max(thread_time() - self._thread_began - inline, 0.0) / seconds if seconds else 0.0,
            # Those of a fork server are no children of this process.
            computed=children / worked if children > 0 and worked > 0 else None,
        )

    def look(self, engine: Engine, last: bool = False) -> None:
        """Take a point, if it is time to."""
        now = engine.now() - engine.began
        if now < self._next and not last:
            return
        self._next = now + self._every
        self.points.append((now, tuple(node.given for node in engine.nodes)))
        if len(self.points) > _POINTS:  # half as many, half as often
            del self.points[1::2]
            self._every *= 2


def _cpu_seconds(who: int) -> float:
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


def _machine_ticks() -> tuple[int, int]:
    """Ticks in which the machine's processors were busy, and all; other programs take processors, too."""
    try:
        with Path("/proc/stat").open("rb") as file:
            ticks = [int(word) for word in file.readline().split()[1:9]]
    except (OSError, ValueError):
        return 0, 0
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks)


def _percentile(histogram: list[int], share: float, most: float) -> float:
    """Within an eighth: the histogram's steps are no finer.

    Args:
        most: what the slowest item took; 0: not known.
    """
    total = sum(histogram)
    if not total:
        return 0.0
    seen = 0
    for step, count in enumerate(histogram):
        seen += count
        if seen >= share * total:
            return min(step_seconds(step), most or float("inf"))
    raise AssertionError("unreachable")


def _of_work(node: WorkNode) -> StageReport:
    crew = node.crew
    accounts, histogram, slowest = crew.figures()
    most = slowest[0][0] if slowest else 0.0
    return StageReport(
        name=" + ".join(spec.name for spec in node.specs),
        kind=node.spec.where,
        taken=node.taken,
        given=node.given,
        failures=node.failures,
        retries=node.retries,
        waiting=node.waiting,
        in_flight=node.in_flight,
        workers=tuple(accounts),
        size=crew.largest,
        deaths=crew.deaths,
        busy_seconds=sum(account.busy_seconds for account in accounts),
        wait_seconds=sum(account.wait_seconds for account in accounts),
        p50=_percentile(histogram, 0.5, most),
        p90=_percentile(histogram, 0.9, most),
        p99=_percentile(histogram, 0.99, most),
        slowest=tuple(SlowItem(*entry) for entry in slowest),
    )


def stage_reports(nodes: list[Node], seconds: float = 0.0) -> list[StageReport]:
    """One for each node, in order.

    Args:
        nodes: the run's.
        seconds: how long it has run.
    """
    return [_of_work(node) if isinstance(node, WorkNode) else _of_inline(node, seconds) for node in nodes]


def _of_inline(node: Node, seconds: float) -> StageReport:
    spent = node.spent if isinstance(node, (SourceNode, TeeNode)) else 0.0
    return StageReport(
        name=node.stage,
        kind="engine",
        taken=node.taken,
        given=node.given,
        failures=0,
        retries=0,
        waiting=node.held,
        in_flight=0,
        busy_seconds=min(spent, seconds),
        wait_seconds=max(seconds - spent, 0.0),
    )


def _memory(accounts: list[WorkerAccount], now: float) -> int:
    """Of this process, and the most that workers which lived at the same time had at their peaks."""
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    changes: list[tuple[float, int]] = []
    for account in accounts:
        changes.append((account.born, account.peak_memory))
        changes.append((account.died or now, -account.peak_memory))
    total = most = 0
    for _, change in sorted(changes):
        total += change
        most = max(most, total)
    return own + most


def make_report(running: Running) -> Report:
    """The report of a run at this moment."""
    engine = running.engine
    running.timeline.look(engine, last=True)
    end = engine.ended or engine.now()
    seconds = end - engine.began if engine.began else 0.0
    stages = stage_reports(engine.nodes, seconds)
    accounts = [account for stage in stages for account in stage.workers]
    result: Any = running.plan.last.result if running.plan.last is not None else None
    return Report(
        name=running.pipeline.name,
        seconds=seconds,
        taken=sum(node.given for node in engine.nodes if isinstance(node, SourceNode)),
        results=sum(node.given for node in engine.nodes if isinstance(node, SinkNode)),
        failures=running.failed,
        retries=running.retried,
        dead=running.dead,
        in_flight=engine.in_flight,
        resumed=running.tracker.resumed if running.tracker is not None else 0,
        stages=tuple(stages),
        bottleneck=bottleneck(
            stages, running.timeline.pressure(seconds, stages, running.jobs), failed=engine.error is not None
        ),
        interrupted=running.signalled.name if running.drained and running.signalled else "",
        result=result,
        dead_letters=tuple(running.letters),
        first_failures=tuple(running.failures),
        memory=_memory(accounts, end),
        timeline=tuple(running.timeline.points),
    )
