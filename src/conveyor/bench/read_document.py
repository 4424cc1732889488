"""The way back from the JSON of an earlier run, as far as the chart needs it."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any, cast

from conveyor.bench.backlog import Backlog, BacklogPoint
from conveyor.bench.document import SCHEMA
from conveyor.bench.extras import Extras
from conveyor.bench.machine import Machine
from conveyor.bench.measurement import Sample, Workload
from conveyor.bench.payloads import PAYLOADS
from conveyor.bench.rivals import RIVALS
from conveyor.bench.run import Run
from conveyor.bench.summary import Outcome, Row
from conveyor.bench.topologies import TOPOLOGIES

__all__ = ["read_document"]


def _known(kind: str, name: str, known: Any) -> Any:
    if name not in known:
        raise ValueError(f"it has a {kind} {name!r}, which is not known here")
    return known[name]


def _row(document: dict[str, Any]) -> Row:
    rival = document["rival"]
    _known("rival", rival, RIVALS)
    samples = [Sample(**sample) for sample in document["samples"]]
    return Row(rival, samples, document["failure"] or "")


def _outcome(document: dict[str, Any]) -> Outcome:
    topology = _known("topology", document["topology"], TOPOLOGIES)
    payload = _known("payload", document["payload"], PAYLOADS)
    # The key says whether the bound is the workload's or the payload's own.
    own_bound = any(word.startswith("maxsize=") for word in document["key"].split("/"))
    maxsize = document["maxsize"] if own_bound else None
    rows = [_row(row) for row in document["rows"]]
    return Outcome(
        Workload(topology, payload, maxsize, document["burners"]),
        {row.rival: row for row in rows},
        document["others_cores"],
        [rate / payload.size for rate in document["memcpy_bytes_per_second"]],
        document["partial"],
    )


def _backlog(document: dict[str, Any] | None) -> Backlog | None:
    if document is None:
        return None
    points = [
        BacklogPoint(point["size"], tuple(point["put_ns"]), tuple(point["get_ns"]))
        for point in document["points"]
    ]
    return Backlog(tuple(points), document["missing"] or "", document["others_cores"])


def read_document(path: Path) -> Run:
    """Read what ``conveyor bench --json`` wrote: machine, options, workloads and backlog; no other extras, no verdicts.

    Raises OSError if it cannot be read, ValueError if it is something else, with what is wrong.
    """
    read: Any = json.loads(path.read_text(encoding="utf-8"))
    document = cast("dict[str, Any]", read if isinstance(read, dict) else {})
    found = document.get("schema")
    if found != SCHEMA:
        raise ValueError(f"its schema is {found!r}, not {SCHEMA!r}")
    try:
        machine: dict[str, Any] = document["machine"]
        run = Run(
            Machine(**{field.name: machine[field.name] for field in fields(Machine)}),
            document["options"],
            document["skipped"],
            {workload["key"]: _outcome(workload) for workload in document["workloads"]},
            Extras(backlog=_backlog(document["backlog"])),
            unmeasured=document["unmeasured"],
            elapsed_seconds=document["elapsed_seconds"],
            load_after=machine["load_after"],
            others=machine["others_cores"],
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"it is incomplete: {type(error).__name__}: {error}") from error
    return run
