"""The run as JSON: raw numbers (seconds, bytes, items a second), names that stay.

The schema is described in benchmarks/README.md; a change that breaks readers raises `SCHEMA`.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from conveyor.bench.backlog import Backlog
from conveyor.bench.codec import Codec
from conveyor.bench.rivals import RIVALS
from conveyor.bench.run import Run
from conveyor.bench.summary import Outcome, Ratio, Row

__all__ = ["SCHEMA", "as_document", "as_json"]

SCHEMA = "conveyor-bench/1"


def _ratio(ratio: Ratio | None) -> dict[str, float] | None:
    return None if ratio is None else asdict(ratio)


def _row(outcome: Outcome, row: Row) -> dict[str, Any]:
    document: dict[str, Any] = {
        "rival": row.rival,
        "title": RIVALS[row.rival].title,
        "style": RIVALS[row.rival].style,
        "failure": row.failure or None,
        "samples": [asdict(sample) for sample in row.samples],
        "rate": None,
    }
    if row.samples:
        low, high = row.quartiles
        document |= {
            "rate": row.rate,
            "rate_quartiles": [low, high],
            "rate_worst": row.worst,
            "bytes_per_second": row.rate * outcome.workload.payload.size,
            "cpu_seconds_per_item": row.cpu_per_item,
            "faults_per_item": row.faults_per_item,
            "producers_ahead": row.ahead,
            "to_multiprocessing": _ratio(outcome.to_yardstick(row.rival)),
            "to_best_rival": _ratio(outcome.to_best(row.rival)),
            "to_unbounded": _ratio(outcome.to_unbounded(row.rival)),
        }
    return document


def _workload(outcome: Outcome) -> dict[str, Any]:
    workload = outcome.workload
    return {
        "key": workload.key,
        "topology": workload.topology.name,
        "producers": workload.topology.producers,
        "consumers": workload.topology.consumers,
        "payload": workload.payload.name,
        "payload_bytes": workload.payload.size,
        "maxsize": workload.bound,
        "burners": workload.burners,
        "unit": workload.topology.unit,
        "others_cores": outcome.others,
        "partial": outcome.partial,
        "memcpy_bytes_per_second": [rate * workload.payload.size for rate in outcome.copies],
        "rows": [_row(outcome, row) for row in outcome.rows.values()],
    }


def _backlog(backlog: Backlog | None) -> dict[str, Any] | None:
    if backlog is None:
        return None
    return {
        "ratio": backlog.ratio,
        "missing": backlog.missing or None,
        "others_cores": backlog.others,
        "points": [asdict(point) | {"cost_ns": point.cost_ns} for point in backlog.points],
    }


def _codec(codec: Codec | None) -> dict[str, Any] | None:
    if codec is None:
        return None
    return {
        "ratio": codec.ratio,
        "others_cores": codec.others,
        "points": [asdict(point) | {"ratio": point.ratio} for point in codec.points],
    }


def as_document(run: Run) -> dict[str, Any]:
    """Plain dicts, lists, numbers and texts."""
    extras = run.extras
    return {
        "schema": SCHEMA,
        "machine": asdict(run.machine) | {"load_after": run.load_after, "others_cores": run.others},
        "options": run.options,
        "skipped": run.skipped,
        "unmeasured": run.unmeasured,
        "failures": run.failures,
        "workloads": [_workload(outcome) for outcome in run.outcomes.values()],
        "bars": [asdict(verdict) for verdict in run.verdicts],
        "backlog": _backlog(extras.backlog),
        "idle": None if extras.idle is None else asdict(extras.idle) | {"excess": extras.idle.excess},
        "codec": _codec(extras.codec),
        "creation": None if extras.creation is None else asdict(extras.creation),
        "start": None if extras.start is None else asdict(extras.start),
        "memory": None if extras.memory is None else asdict(extras.memory),
        "elapsed_seconds": run.elapsed_seconds,
    }


def as_json(run: Run) -> str:
    """The document as indented text, ending in a newline."""
    return json.dumps(as_document(run), indent=1) + "\n"
