"""PipelineView: a running pipeline, an executor or `Workers`, as it is seen from outside."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from typing import Any

from .failure_view import FailureView
from .snapshot_fields import SnapshotFields
from .stage_view import StageView
from .worker_view import WorkerView, resident_memory

__all__ = ["IDLE", "PipelineView"]

IDLE = "idle"
"""The phase of what waits for somebody to ask for something."""
_RATE_SECONDS = 5.0  # over which rates and loads are means
_LATE_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class PipelineView:
    """A run at one moment: when its process last told of it. What is counted only grows.

    A rate between two moments is the difference of what was counted by that of `at`.
    """

    id: str
    """By which a run is known from one look to the next; of no meaning."""
    pid: int
    """The process that runs it."""
    kind: str = "pipeline"
    """`pipeline`; `executor`: a `ProcessPoolExecutor`, whose items are calls; `workers`: the processes that a
    `conveyor.Workers` keeps, whose runs are told of as pipelines."""
    name: str = ""
    """That of the pipeline; if it was given none, its place."""
    place: str = ""
    """The line that made the pipeline, as in `srv/jobs.py:12`; empty: not known."""
    started: float = 0.0
    """When the run began, in seconds since the epoch."""
    seconds: float = 0.0
    """How long it has run."""
    at: float = 0.0
    """When the snapshot was taken, by `time.monotonic`."""
    age: float = 0.0
    """How old the snapshot was when it was read, in seconds. It is taken about twice a second, between two turns of the
    run's: one that is older than a few seconds tells that its process is held up, by a sink or by whoever iterates over
    the results, or stopped. While the phase is `idle` there is nothing new to tell."""
    phase: str = ""
    """`running`; `draining`: no more is taken in; `ending`: the workers leave; `closing`: the ends are being closed;
    `idle`: an executor or `Workers` have nothing to do."""
    taken: int = 0
    """Items taken from the source, those included that were dealt with by earlier runs."""
    total: int | None = None
    """Items that the source has, if that is known."""
    results: int = 0
    """Values that came out at the end."""
    failures: int = 0
    """Items that failed for good."""
    retries: int = 0
    dead: int = 0
    """Of the failures, those that became dead letters."""
    in_flight: int = 0
    """Items that were taken in and are not through."""
    resumed: int = 0
    """Items that were dealt with by earlier runs."""
    left: float | None = None
    """Seconds until the source has ended, at the rate of the last few seconds; None: that cannot be told."""
    rss: int | None = None
    """Bytes of its process in RAM; None: that cannot be told."""
    stages: tuple[StageView, ...] = ()
    """The source first; each before those that it feeds."""
    stages_left_out: int = 0
    workers: tuple[WorkerView, ...] = ()
    """Those of all stages, and of those that were lost the last few; 256 at most."""
    workers_left_out: int = 0
    failure_groups: tuple[FailureView, ...] = ()
    """The latest first; 32 at most."""
    failure_groups_left_out: int = 0
    """Failures of groups that are not told of."""
    error: str = ""
    """Why only the pid is known: another version of conveyor runs it, or what it shows is damaged; else empty."""

    @classmethod
    def of(cls, fields: SnapshotFields, pid: int, same_pids: bool) -> PipelineView:
        """The run that a snapshot tells of.

        Args:
            fields: the snapshot's.
            pid: the process, as we know it.
            same_pids: whether the snapshot's pids are those by which we know processes.

        Raises:
            CorruptSegment: it cannot be as the snapshot says.
        """
        at = fields.number("at")
        place = fields.text("place")
        age = max(time.monotonic() - at, 0.0)
        phase = fields.text("phase")
        kind = fields.text("kind") if fields.has("kind") else "pipeline"
        stages = tuple(StageView.of(one) for one in fields.each("stages", "a stage"))
        if kind != "pipeline":  # nothing holds up a stage that is alone
            stages = tuple(replace(stage, bottleneck=False) for stage in stages)
        if phase == IDLE and age > _RATE_SECONDS:
            stages = tuple(replace(stage, rate=0.0, load=0.0) for stage in stages)
        names = [stage.name for stage in stages]
        workers = fields.each("workers", "a worker") if stages else []
        return cls(
            id=fields.text("id"),
            pid=pid,
            kind=kind,
            name=fields.text("name") or place,
            place=place,
            started=fields.number("started"),
            seconds=fields.number("seconds") + (age if phase == IDLE else 0.0),
            at=at,
            age=age,
            phase=phase,
            taken=fields.count("taken"),
            total=fields.count("total") if fields.has("total") else None,
            results=fields.count("results"),
            failures=fields.count("failures"),
            retries=fields.count("retries"),
            dead=fields.count("dead"),
            in_flight=fields.count("in_flight"),
            resumed=fields.count("resumed"),
            left=fields.number("left") if fields.has("left") else None,
            rss=resident_memory(pid),
            stages=stages,
            stages_left_out=fields.count("stages_left_out"),
            workers=tuple(WorkerView.of(one, names, at, same_pids) for one in workers),
            workers_left_out=fields.count("workers_left_out"),
            failure_groups=tuple(
                FailureView.of(one) for one in fields.each("failure_groups", "a group of failures")
            ),
            failure_groups_left_out=fields.count("failure_groups_left_out"),
        )

    @property
    def is_late(self) -> bool:
        """Whether its process should have told of it again."""
        return self.age > _LATE_SECONDS and self.phase != IDLE

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)
