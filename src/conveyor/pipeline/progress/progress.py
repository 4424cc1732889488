"""Progress: how far a run is."""

from __future__ import annotations

from dataclasses import dataclass

from ..engine.engine import Engine
from ..operators.node import Node
from ..operators.source import SourceNode
from ..operators.work import WorkNode
from ..sources.source import Measure

__all__ = ["Progress", "StageProgress", "progress_of"]


@dataclass(frozen=True, slots=True)
class StageProgress:
    """Where one stage is."""

    name: str
    taken: int
    given: int
    failures: int
    waiting: int
    """Items before it, or in it, that no worker has."""
    in_flight: int
    workers: int
    """There now; 0: it needs none."""
    ended: bool


@dataclass(frozen=True, slots=True)
class Progress:
    """What a `progress` function is called with."""

    seconds: float
    taken: int
    """Items taken from the source."""
    total: int | None
    """Items that the source has, if that is known."""
    results: int
    """Values that came out at the end."""
    failures: int
    in_flight: int
    stages: tuple[StageProgress, ...]
    bytes_read: int | None = None
    """Bytes read of the files of `read_lines` and its like, compressed ones as they lie there; else None."""
    bytes_total: int | None = None
    """Bytes that they have, if that is known."""

    @property
    def share(self) -> float | None:
        """How much of the source has been taken, from 0 to 1: by its items, or else by its bytes; None: not known."""
        if self.total:
            return min(self.taken / self.total, 1.0)
        if self.bytes_total and self.bytes_read is not None:
            return min(self.bytes_read / self.bytes_total, 1.0)
        return None


def progress_of(engine: Engine) -> Progress:
    """How far a run is now."""
    before: dict[Node, int] = {}
    for node in engine.nodes:
        if not isinstance(node, SourceNode):
            for outlet in node.outlets():
                before[outlet] = before.get(outlet, 0) + _out(node)
    stages = tuple(_stage(node, before.get(node, 0)) for node in engine.nodes)
    totals = [source.source.total for source in engine.sources]
    measures: list[Measure | None] = [getattr(node.source, "measure", None) for node in engine.sources]
    read = [None if measure is None else measure.bytes_read for measure in measures]
    have = [None if measure is None else measure.bytes_total for measure in measures]
    return Progress(
        seconds=engine.now() - engine.began if engine.began else 0.0,
        taken=sum(source.given + source.skipped for source in engine.sources),
        total=_sum(totals),
        results=sum(node.given for node in engine.nodes if node.outlet is None and not node.outlets()),
        failures=engine.failed,
        in_flight=engine.in_flight,
        stages=stages,
        bytes_read=_sum(read),
        bytes_total=_sum(have),
    )


def _sum(numbers: list[int | None]) -> int | None:
    """Of all sources, if it is known of each."""
    return None if None in numbers else sum(number or 0 for number in numbers)


def _out(node: Node) -> int:
    """Values that the node has made and nobody has taken: they wait before the next."""
    return int(Node.held.__get__(node))


def _stage(node: Node, before: int) -> StageProgress:
    if isinstance(node, WorkNode):
        busy, workers, failures = node.in_flight, len(node.pool.handles), node.failures
    else:
        busy = workers = failures = 0
    inside = node.backlog if isinstance(node, SourceNode) else node.held - _out(node)
    waiting = max(before + inside - busy, 0)
    return StageProgress(node.stage, node.taken, node.given, failures, waiting, busy, workers, node.ended)
