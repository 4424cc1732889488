"""Streams of items through supervised worker processes. No terminal code in here: see `conveyor.cli`."""

from .events import (
    CrashLoop,
    Event,
    Failure,
    FewerWorkers,
    ItemFailed,
    OutletClosed,
    Results,
    Tick,
    WorkerDied,
    WorkerStuck,
    describe_exit,
)
from .mapper import Halt, Mapper, NoWorkers
from .report import Report
from .sources import IterableSource, LineSource, Source

__all__ = [
    "CrashLoop",
    "Event",
    "Failure",
    "FewerWorkers",
    "Halt",
    "ItemFailed",
    "IterableSource",
    "LineSource",
    "Mapper",
    "NoWorkers",
    "OutletClosed",
    "Report",
    "Results",
    "Source",
    "Tick",
    "WorkerDied",
    "WorkerStuck",
    "describe_exit",
]
