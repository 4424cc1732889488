"""`conveyor ls`: what there is in shared memory on this machine."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

from .exit_codes import ExitCode
from .option import Option

if TYPE_CHECKING:
    from ..inspection.pipeline_view import PipelineView
    from ..inspection.segment_view import SegmentView

__all__ = ["USAGE", "Row", "ls", "print_rows"]

USAGE = "conveyor ls [OPTIONS]\n\nExample:\n  conveyor ls --json | jq -r .url\n"


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the list."""

    title: str
    """Its URL; or else its label, or the line of the program that made it."""
    kind: str
    """`queue`, `topic`, `dict`, `pipeline`, `executor`, `workers` ...; "": it cannot be read."""
    items: int | None
    """That wait, are kept, or are in it; of a pipeline, that are on their way in it; of an executor, calls that
    are not done; None: it has none."""
    memory: int
    """Bytes; of a pipeline, those that its process has resident; of an executor, its workers."""
    users: tuple[int, ...]
    """Pids of those that have it open."""
    url: str | None = None
    state: str = ""
    """`ended`, `paused`, or why it cannot be read; "": nothing of that."""


def ls(
    *,
    as_json: Annotated[bool, Option(("--json",))] = False,
    names: Annotated[bool, Option(("--names",))] = False,
) -> int:
    """List this user's queues, topics and dicts in shared memory, named ones and others, pipelines that run, and
    executors.

    Nothing is attached to or changed. Those on brokers are not listed: see conveyor info URL.

    Args:
        as_json: Print a JSON object a line, one for each; sizes in bytes, users as pids.
        names: Print the names alone, as other verbs take them, a line each; what has none is left out.
    """
    from ..inspection.survey import survey

    if names:
        said = (each.url or each.label for each in survey().segments)
        print(*sorted({name for name in said if name and " " not in name}), sep="\n")
        return ExitCode.OK
    from ..inspection.open_files import OpenFiles
    from ..inspection.pipelines import pipelines

    files = OpenFiles()
    rows = [_row(each) for each in survey(files).segments]
    print_rows([*rows, *map(_row_of_run, pipelines(files))], as_json)
    return ExitCode.OK


def print_rows(rows: Sequence[Row], as_json: bool) -> None:
    """Print them, a line each; of none nothing but a word to who reads it."""
    if as_json:
        for row in rows:
            print(json.dumps(asdict(row)))
        return
    if not rows:
        print("nothing in shared memory", file=sys.stderr)
        return
    from ..inspection.size import size_text

    table = [("name", "kind", "items", "memory", "users", "")]
    for row in rows:
        items = "" if row.items is None else f"{row.items:,}"
        table.append(
            (row.title, row.kind or "?", items, size_text(row.memory), str(len(row.users)), row.state)
        )
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for title, kind, items, memory, users, state in table:
        numbers = (items.rjust(widths[2]), memory.rjust(widths[3]), users.rjust(widths[4]))
        line = (title.ljust(widths[0]), kind.ljust(widths[1]), *numbers, state)
        print("  ".join(line).rstrip())


def _row(view: SegmentView) -> Row:
    figures = view.figures
    items = next((figures[name] for name in ("depth", "kept", "length") if name in figures), None)
    state = view.error or ("ended" if view.ended else "paused" if view.paused else "")
    title = view.url or view.title
    return Row(title, view.kind, items, view.memory, view.users, view.url, state)


def _row_of_run(run: PipelineView) -> Row:
    held = next((stage.name for stage in run.stages if stage.bottleneck), "")
    state = run.error or (f"held up by {held}" if held else run.phase)
    if run.kind == "pipeline":
        return Row(run.name or run.place, run.kind, run.in_flight, run.rss or 0, (run.pid,), None, state)
    from ..inspection.executor_view import ExecutorView

    figures = ExecutorView.of(run)
    users = (run.pid, *(worker.pid for worker in run.workers if not worker.end))
    return Row(
        run.name or run.place,
        run.kind,
        figures.pending + figures.running,
        figures.rss or 0,
        users,
        None,
        state,
    )
