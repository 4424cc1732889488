"""make_report: a report from the nodes of a run."""

from __future__ import annotations

import resource
from typing import Any

from ..engine.engine import Engine
from ..operators.node import Node
from ..operators.source import SourceNode
from ..operators.tee import TeeNode
from ..operators.work import WorkNode
from ..planning.blas_threads import blas_line
from ..supervise.worker_stats import WorkerStats
from ..worker.status_page import step_seconds
from .bottleneck import bottleneck
from .figures import SlowItem, StageReport
from .report import Report
from .tally import Tally
from .timeline import Timeline

__all__ = ["make_report", "stage_reports"]


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
    pool = node.pool
    worker_stats, histogram, slowest = pool.figures()
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
        workers=tuple(worker_stats),
        size=pool.largest,
        deaths=pool.deaths,
        renewed=pool.renewed,
        busy_seconds=sum(account.busy_seconds for account in worker_stats),
        wait_seconds=sum(account.wait_seconds for account in worker_stats),
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


def _memory(worker_stats: list[WorkerStats], now: float) -> int:
    """Of this process, and the most that workers which lived at the same time had at their peaks."""
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    changes: list[tuple[float, int]] = []
    for account in worker_stats:
        changes.append((account.born, account.peak_memory))
        changes.append((account.died or now, -account.peak_memory))
    total = most = 0
    for _, change in sorted(changes):
        total += change
        most = max(most, total)
    return own + most


def make_report(
    engine: Engine,
    tally: Tally,
    timeline: Timeline,
    *,
    name: str,
    resumed: int = 0,
    interrupted: str = "",
    result: Any = None,
    partial: tuple[str, ...] = (),
) -> Report:
    """The report of a run at this moment.

    Args:
        engine: what runs it.
        tally: what has become of items that failed.
        timeline: how far it was.
        name: of the pipeline.
        resumed: items that earlier runs dealt with.
        interrupted: the signal that has ended its input; empty: none.
        result: what its end made.
        partial: where what was written lies, of a run that did not end well.
    """
    timeline.sample(engine, last=True)
    end = engine.ended or engine.now()
    seconds = end - engine.began if engine.began else 0.0
    stages = stage_reports(engine.nodes, seconds)
    worker_stats = [account for stage in stages for account in stage.workers]
    return Report(
        name=name,
        seconds=seconds,
        taken=sum(node.given for node in engine.sources),
        results=sum(node.given for node in engine.sinks),
        failures=tally.failed,
        retries=tally.retried,
        dead=tally.dead,
        in_flight=engine.in_flight,
        resumed=resumed,
        stages=tuple(stages),
        bottleneck=bottleneck(stages, timeline.pressure(seconds, stages), failed=engine.error is not None),
        interrupted=interrupted,
        result=result,
        partial=partial,
        dead_letters=tuple(tally.letters),
        first_failures=tuple(tally.failures),
        memory=_memory(worker_stats, end),
        blas=blas_line(engine.nodes),
        timeline=tuple(timeline.points),
    )
