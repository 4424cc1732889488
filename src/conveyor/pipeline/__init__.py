"""Pipelines: stages of work in supervised workers. No terminal code in here but `progress`: see `conveyor.cli`."""

# Layer map, highest floor first, as in conveyor/__init__.py.
#
#   testing/
#   workers
#   pipeline
#   runnable
#   async_run
#   pipeline_run
#   snapshot/
#   progress/
#   report/
#   engine/, planning/
#   operators/, persistent/
#   supervise/
#   checkpoint/, graph/, start/
#   flow/, sources/, worker/
#   sinks/
#   base/, files/, host/

import typing as _typing

from .._lazy import lazy as _lazily
from .._public import former_modules as _former_modules

if _typing.TYPE_CHECKING:
    from .base.again import Again
    from .base.events import (
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
    from .base.failure import Failure
    from .engine.engine import Engine
    from .pipeline import Pipeline
    from .pipeline_run import PipelineRun, Running
    from .report.figures import SlowItem, StageReport
    from .report.report import Report
    from .sources.csv_rows import read_csv
    from .sources.json_lines import read_jsonl
    from .sources.keyed import keyed
    from .sources.lines import read_lines
    from .sources.parquet import read_parquet
    from .sources.source import IterableSource, LineSource, Source
    from .worker.identity import Worker
    from .workers import Workers

__all__ = [
    "Again",
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
    "PipelineRun",
    "Report",
    "Results",
    "Running",
    "SlowItem",
    "Source",
    "StageReport",
    "Tick",
    "Worker",
    "WorkerDied",
    "WorkerStuck",
    "Workers",
    "describe_exit",
    "keyed",
    "read_csv",
    "read_jsonl",
    "read_lines",
    "read_parquet",
]
__dir__ = __all__.copy

# Imported when first used: a worker that needs `Pipeline`, because its main module does, needs no engine.
_LAZY = {
    "Again": "base.again",
    "CrashLoop": "base.events",
    "Engine": "engine.engine",
    "Event": "base.events",
    "Failure": "base.failure",
    "FewerWorkers": "base.events",
    "ItemFailed": "base.events",
    "ItemRetried": "base.events",
    "IterableSource": "sources.source",
    "LineSource": "sources.source",
    "OutletClosed": "base.events",
    "Pipeline": "pipeline",
    "PipelineRun": "pipeline_run",
    "Report": "report.report",
    "Results": "base.events",
    "Running": "pipeline_run",
    "SlowItem": "report.figures",
    "Source": "sources.source",
    "StageReport": "report.figures",
    "Tick": "base.events",
    "Worker": "worker.identity",
    "WorkerDied": "base.events",
    "WorkerStuck": "base.events",
    "Workers": "workers",
    "describe_exit": "base.events",
    "read_csv": "sources.csv_rows",
    "read_jsonl": "sources.json_lines",
    "keyed": "sources.keyed",
    "read_lines": "sources.lines",
    "read_parquet": "sources.parquet",
}

if not _typing.TYPE_CHECKING:  # a checker that saw it would accept any name
    __getattr__ = _lazily(__name__, _LAZY)

_former_modules(__name__)
