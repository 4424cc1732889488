"""Figures: what a run did, in numbers; and what each of its steps did."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any

from ...queues.dead_letter import DeadLetter
from ..base.failure import Failure
from ..base.format import short
from ..supervise.worker_stats import WorkerStats

__all__ = ["Figures", "SlowItem", "StageReport"]


@dataclass(frozen=True, slots=True)
class SlowItem:
    """An item that took long."""

    seconds: float
    number: int
    """Its place in the stage's input, from 0."""
    item: Any
    """The item itself; of a large one its `repr`, shortened."""


@dataclass(frozen=True, slots=True)
class StageReport:
    """What one step of the pipeline did."""

    name: str
    kind: str
    """Who did it: `processes`, `threads`, `coroutines`, or `engine`: this process."""
    taken: int
    """Items that came in."""
    given: int
    """Items that went on."""
    failures: int
    retries: int
    waiting: int
    """Items that wait before it, or in it, now."""
    in_flight: int
    """Items that its workers have now."""
    workers: tuple[WorkerStats, ...] = ()
    size: int = 0
    """How many workers it had at most, or was meant to have."""
    deaths: int = 0
    renewed: int = 0
    """How often a worker was renewed, see `max_items_per_worker` and `max_worker_memory`."""
    busy_seconds: float = 0.0
    """Of all its workers. Of a step without: in which this process was at it, or waited for the source or for room."""
    wait_seconds: float = 0.0
    """Of all its workers, in which they had no item. Of a step without workers: the rest of the time."""
    p50: float = 0.0
    """Half of its items took no longer; seconds, within an eighth, as the next two."""
    p90: float = 0.0
    p99: float = 0.0
    slowest: tuple[SlowItem, ...] = ()

    @property
    def is_source(self) -> bool:
        """Whether it is where items come from: the run's only source, or one of several."""
        return self.kind == "engine" and (self.name == "source" or self.name.startswith("source "))

    @property
    def load(self) -> float:
        """The share of their time in which its workers, or this process, were busy with it, 0 to 1."""
        total = self.busy_seconds + self.wait_seconds
        return self.busy_seconds / total if total else 0.0


@dataclass(frozen=True, slots=True)
class Figures:
    """How a run went, or how far it is. A `Report` can show them, too."""

    name: str
    seconds: float
    taken: int
    """Items taken from the source."""
    results: int
    """Values that came out at the end."""
    failures: int
    """Items that failed for good, in any stage."""
    retries: int
    dead: int
    """Of the failures, those that became dead letters."""
    in_flight: int
    """Items that were taken in and are not through."""
    resumed: int
    """Items that were dealt with by earlier runs, see `resume`."""
    stages: tuple[StageReport, ...]
    bottleneck: str
    """One sentence: which stage holds up the others, and what to change."""
    interrupted: str = ""
    """The signal that ended the input early, as in `SIGINT`; else empty."""
    result: Any = None
    """What `to(list)` or `reduce` made; else None."""
    dead_letters: tuple[DeadLetter[Any], ...] = ()
    """The first 10,000, if the run was given no other place for them."""
    first_failures: tuple[Failure, ...] = ()
    """The first 100."""
    partial: tuple[str, ...] = ()
    """Files with what was written, of a run that did not end well; those that were to be made are as before."""
    memory: int = 0
    """Peak memory of this process and of the largest workers that lived together, about; bytes."""
    blas: str = ""
    """One sentence: how many threads BLAS and OpenMP were allowed in worker processes; empty: nothing was said."""
    timeline: tuple[tuple[float, tuple[int, ...]], ...] = field(default=(), repr=False)
    """Seconds since the start, and for each stage the items that it had given by then."""

    @property
    def deaths(self) -> int:
        """Workers that died: killed, crashed, or by `os._exit`."""
        return sum(stage.deaths for stage in self.stages)

    @property
    def renewed(self) -> int:
        """How often workers were renewed."""
        return sum(stage.renewed for stage in self.stages)

    @property
    def rate(self) -> float:
        """Items taken from the source per second."""
        return self.taken / self.seconds if self.seconds > 0 else 0.0

    @property
    def ok(self) -> bool:
        """Whether all that was there was done, and nothing failed."""
        return not (self.failures or self.interrupted or self.in_flight)

    def to_dict(self) -> dict[str, Any]:
        """The figures in JSON's types; items and the result as `repr`, shortened."""
        # asdict() copies what it finds, and an item need not be of a kind that can be copied.
        stages = tuple(dataclasses.replace(stage, slowest=()) for stage in self.stages)
        bare = dataclasses.replace(self, stages=stages, result=None, dead_letters=(), first_failures=())
        found = dataclasses.asdict(bare)
        for stage, made in zip(self.stages, found["stages"], strict=True):
            made["load"] = stage.load
            made["slowest"] = [
                {"seconds": slow.seconds, "number": slow.number, "item": short(slow.item)}
                for slow in stage.slowest
            ]
        del found["result"]
        found["rate"] = self.rate
        found["dead_letters"] = [
            {
                "item": short(letter.item),
                "attempts": letter.attempts,
                "error": letter.error,
                "pid": letter.pid,
            }
            for letter in self.dead_letters
        ]
        found["first_failures"] = [
            {
                "stage": failure.stage,
                "number": failure.number,
                "item": short(failure.item),
                "attempts": failure.attempts,
                "error": str(failure),
                "pid": failure.pid,
            }
            for failure in self.first_failures
        ]
        return found

    def to_json(self) -> str:
        """`to_dict` as JSON: raw numbers, bytes and seconds."""
        return json.dumps(self.to_dict(), ensure_ascii=False, default=repr)
