"""Pipelines: stages of work in supervised workers. No terminal code in here but `progress`: see `conveyor.cli`."""

import typing as _typing

from .._lazy import lazy as _lazily

if _typing.TYPE_CHECKING:
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
__dir__ = __all__.copy

# Imported when first used: a worker that needs `Pipeline`, because its main module does, needs no engine.
_LAZY = {
    "CrashLoop": "events",
    "Engine": "engine",
    "Event": "events",
    "Failure": "failure",
    "FewerWorkers": "events",
    "ItemFailed": "events",
    "ItemRetried": "events",
    "IterableSource": "sources",
    "LineSource": "sources",
    "OutletClosed": "events",
    "Pipeline": "pipeline",
    "Report": "report",
    "Results": "events",
    "Running": "running",
    "SlowItem": "report",
    "Source": "sources",
    "StageReport": "report",
    "Tick": "events",
    "WorkerDied": "events",
    "WorkerStuck": "events",
    "describe_exit": "events",
    "read_lines": "lines",
}

if not _typing.TYPE_CHECKING:  # a checker that saw it would accept any name
    __getattr__ = _lazily(__name__, _LAZY)
