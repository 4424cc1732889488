"""Timeline: how far a run was at each time, and what it has cost its processors."""

from __future__ import annotations

import resource
from pathlib import Path
from time import thread_time

from ..._processors import processors
from ..engine.engine import Engine
from .bottleneck import Pressure
from .figures import StageReport

__all__ = ["Timeline"]

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

    def pressure(self, seconds: float, stages: list[StageReport]) -> Pressure:
        """What the run cost its processors, beside the functions of its stages."""
        own = _cpu_seconds(resource.RUSAGE_SELF) - self._own_began
        children = _cpu_seconds(resource.RUSAGE_CHILDREN) - self._children_began
        worked = sum(stage.busy_seconds for stage in stages if stage.kind == "processes")
        busy, total = (now - began for now, began in zip(_machine_ticks(), self._machine_began, strict=True))
        inline = sum(
            stage.busy_seconds
            for stage in stages
            if stage.kind in ("engine", "inline") and not stage.is_source
        )
        return Pressure(
            seconds=seconds,
            processors=processors(),
            taken=min(busy / total, 1.0) if total else 1.0,
            own=own / seconds if seconds else 0.0,
            hub=max(thread_time() - self._thread_began - inline, 0.0) / seconds if seconds else 0.0,
            # Those of a fork server are no children of this process.
            computed=children / worked if children > 0 and worked > 0 else None,
        )

    def sample(self, engine: Engine, last: bool = False) -> None:
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
