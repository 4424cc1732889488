"""Pipelines: stages of work in supervised workers. No terminal code in here but `progress`: see `conveyor.cli`."""

from .engine import Engine
from .events import (
    CrashLoop,
    Event,
    FewerWorkers,
    ItemFailed,
    ItemRetried,
    OutletClosed,
    Results,
    Tick,
    WorkerDied,
    WorkerStuck,
    describe_exit,
)
from .failure import Failure
from .lines import read_lines
from .pipeline import Pipeline
from .report import Report, SlowItem, StageReport
from .running import Running
from .sources import IterableSource, LineSource, Source

__all__ = [
    "CrashLoop",
    "Engine",
    "Event",
    "Failure",
    "FewerWorkers",
    "ItemFailed",
    "ItemRetried",
    "IterableSource",
    "LineSource",
    "OutletClosed",
    "Pipeline",
    "Report",
    "Results",
    "Running",
    "SlowItem",
    "Source",
    "StageReport",
    "Tick",
    "WorkerDied",
    "WorkerStuck",
    "describe_exit",
    "read_lines",
]
