"""How a report is made of a run."""

from __future__ import annotations

import resource
from time import monotonic
from typing import TYPE_CHECKING, Any

from ..workers.slate import step_seconds
from .account import WorkerAccount
from .inline import SinkNode
from .node import Node
from .report import Report, SlowItem, StageReport
from .source_node import SourceNode
from .work_node import WorkNode

if TYPE_CHECKING:
    from .engine import Engine
    from .running import Running

__all__ = ["Timeline", "bottleneck", "make_report", "stage_reports"]

_POINTS = 400


class Timeline:
    """How many items each stage had given, every so often; in bounded memory."""

    def __init__(self) -> None:
        self.points: list[tuple[float, tuple[int, ...]]] = []
        self._every = 0.05
        self._next = 0.0

    def look(self, engine: Engine, last: bool = False) -> None:
        """Take a point, if it is time to."""
        now = monotonic() - engine.began
        if now < self._next and not last:
            return
        self._next = now + self._every
        self.points.append((now, tuple(node.given for node in engine.nodes)))
        if len(self.points) > _POINTS:  # half as many, half as often
            del self.points[1::2]
            self._every *= 2


def _percentile(histogram: list[int], share: float) -> float:
    total = sum(histogram)
    if not total:
        return 0.0
    seen = 0
    for step, count in enumerate(histogram):
        seen += count
        if seen >= share * total:
            return step_seconds(step)
    raise AssertionError("unreachable")


def _of_work(node: WorkNode) -> StageReport:
    crew = node.crew
    accounts, histogram, slowest = crew.figures()
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
        p50=_percentile(histogram, 0.5),
        p90=_percentile(histogram, 0.9),
        p99=_percentile(histogram, 0.99),
        slowest=tuple(SlowItem(*entry) for entry in slowest),
    )


def stage_reports(nodes: list[Node]) -> list[StageReport]:
    """One for each node, in order."""
    return [
        _of_work(node)
        if isinstance(node, WorkNode)
        else StageReport(node.stage, "engine", node.taken, node.given, 0, 0, node.held, 0)
        for node in nodes
    ]


def bottleneck(stages: list[StageReport], seconds: float, jobs: int) -> str:
    """One sentence: which stage holds up the others, and what to change."""
    worked = [stage for stage in stages if stage.workers and stage.busy_seconds > 0]
    if not worked or seconds <= 0:
        return "Too little was done to tell what holds it up."
    top = max(worked, key=lambda stage: stage.busy_seconds / stage.size)
    each = top.busy_seconds / top.size
    workers = "its only worker" if top.size == 1 else f"its {top.size} workers"
    started = max(account.start_seconds for account in top.workers)
    if started > 0.5 * seconds and started > each:
        return f"Starting workers took most of the {seconds:.2g} s; there was too little work for them."
    # Of the time in which it was there: it takes a while to start, which is nobody's bottleneck.
    share = max(each / seconds, top.load)
    if each < 0.5 * seconds and top.load < 0.5:
        return (
            f"No stage is busy: even {top.name!r} worked only {share:.0%} of the time; what holds it up is the source "
            "or the end, in this process: give workers more to do for each item, as by batch() before, or speed those "
            "up."
        )
    text = f"{top.name!r} is the bottleneck: {workers} worked {share:.0%} of the time"
    if top.kind == "processes" and sum(stage.size for stage in worked if stage.kind == "processes") >= jobs:
        others = [stage for stage in worked if stage is not top and stage.load < 0.5 and stage.size > 1]
        if others:
            idle = min(others, key=lambda stage: stage.load)
            return f'{text}, those of {idle.name!r} {idle.load:.0%}: give it workers of those, or say workers="auto".'
        return f"{text}, and all processors are taken: make it quicker, or give it more processors."
    more = {"processes": "workers", "threads": "threads", "coroutines": "concurrency"}[top.kind]
    return f"{text}: give it {more}={top.size * 2}."


def _memory(accounts: list[WorkerAccount]) -> int:
    """Of this process, and the most that workers which lived at the same time had at their peaks."""
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    now = monotonic()
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
    stages = stage_reports(engine.nodes)
    end = engine.ended or monotonic()
    seconds = end - engine.began if engine.began else 0.0
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
        bottleneck=bottleneck(stages, seconds, running.jobs),
        interrupted=running.signalled.name if running.drained and running.signalled else "",
        result=result,
        dead_letters=tuple(running.letters),
        first_failures=tuple(running.failures),
        memory=_memory(accounts),
        timeline=tuple(running.timeline.points),
    )
