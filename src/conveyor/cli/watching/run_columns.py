"""The columns of pipelines, of their workers, and of processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...inspection.pipeline_view import PipelineView
from ...inspection.stage_view import StageView
from .rows import Member, Step, Worker
from .table import Column
from .text import Glyphs, Piece
from .units import count, duration, rate, size

__all__ = ["pipeline_columns", "process_columns", "worker_columns"]

Cell = Callable[[Any, int], Piece]


def pipeline_columns(glyphs: Glyphs) -> list[Column[Step]]:
    def name(row: Step, _: int) -> Piece:
        if row.stage is None:
            return (
                row.pipeline.name or f"pipeline of {row.pipeline.pid}",
                "bad" if row.pipeline.error else "name",
            )
        return row.branches + row.stage.name, "bad" if row.stage.bottleneck else ""

    def of(stage_text: Callable[[StageView], str], run_text: Callable[[PipelineView], str]) -> Cell:
        def cell(row: Step, _: int) -> Piece:
            text = run_text(row.pipeline) if row.stage is None else stage_text(row.stage)
            return text, "dim" if text == "0" else ""

        return cell

    def load(row: Step, width: int) -> Piece:
        if row.stage is None:
            total = row.pipeline.total
            return (glyphs.bar(row.pipeline.taken / total, width), "bar") if total else ("", "")
        return glyphs.bar(row.stage.load, width), "bad" if row.stage.bottleneck else "good"

    def note(row: Step, _: int) -> Piece:
        if row.stage is None:
            view = row.pipeline
            if view.error:
                return view.error, "bad"
            left = "" if view.left is None else f", {duration(view.left)} left"
            late = f", tells nothing for {duration(view.age)}" if view.is_late else ""
            return (
                f"{view.phase} for {duration(view.seconds)}{left}{late}, pid {view.pid}",
                "warn" if late else "",
            )
        if row.stage.bottleneck:
            return "BOTTLENECK", "bad"
        return "ended" if row.stage.ended else row.stage.kind, "dim"

    return [
        Column("NAME", 20, name, left=True, grows=10),
        Column("WAITS", 6, of(lambda stage: count(stage.waiting), lambda run: "")),
        Column("BUSY", 6, of(lambda stage: count(stage.in_flight), lambda run: count(run.in_flight))),
        Column("OUT/S", 6, of(lambda stage: rate(stage.rate), lambda run: "")),
        Column("GIVEN", 6, of(lambda stage: count(stage.given), lambda run: count(run.results))),
        Column("LOAD", 6, load, left=True, grows=6, drawn=True),
        Column("FAIL", 5, of(lambda stage: count(stage.failures), lambda run: count(run.failures))),
        Column("WRK", 5, of(lambda stage: f"{stage.workers}/{stage.most_workers}", lambda run: "")),
        Column("", 12, note, left=True, grows=40),
        Column("TAKEN", 6, of(lambda stage: count(stage.taken), lambda run: count(run.taken)), rank=1),
        Column("RETRIES", 7, of(lambda stage: count(stage.retries), lambda run: count(run.retries)), rank=2),
        Column("DIED", 5, of(lambda stage: count(stage.deaths), lambda run: ""), rank=3),
    ]


def worker_columns() -> list[Column[Worker]]:
    def stage(row: Worker, _: int) -> Piece:
        place = "" if row.view.place is None else f" {row.view.place}"
        return f"{row.view.stage}{place}", "dim" if row.view.end else "name"

    def item(row: Worker, _: int) -> Piece:
        found = row.view.item_seconds
        return ("", "") if found is None else (duration(found), "warn" if found >= 10 else "")

    return [
        Column("STAGE", 16, stage, lambda row: row.view.stage, left=True, grows=10),
        Column("PID", 7, lambda row, _: (str(row.view.pid or ""), "bold"), lambda row: row.view.pid),
        Column(
            "STATE", 8, lambda row, _: (str(row.view.state), ""), lambda row: str(row.view.state), left=True
        ),
        Column("ITEM", 6, item, lambda row: row.view.item_seconds or 0.0),
        Column("BUSY%", 5, lambda row, _: (f"{row.busy * 100:.0f}", ""), lambda row: row.busy),
        Column("ITEMS", 6, lambda row, _: (count(row.view.items), ""), lambda row: row.view.items),
        Column("RSS", 6, lambda row, _: ("" if row.view.rss is None else size(row.view.rss), "")),
        Column(
            "RESTARTS",
            8,
            lambda row, _: (str(row.view.restarts), "bad" if row.view.restarts else "dim"),
            lambda row: row.view.restarts,
        ),
        Column("ENDED", 10, lambda row, _: (row.view.end, "bad"), left=True, grows=30),
        Column("GIVEN", 6, lambda row, _: (count(row.view.outstanding), ""), rank=1),
        Column(
            "LATELY", 20, lambda row, width: (row.view.history[-width:], "dim"), left=True, rank=2, grows=40
        ),
    ]


def process_columns() -> list[Column[Member]]:
    def waits(row: Member, _: int) -> Piece:
        if row.waits is None:
            return "", ""
        waiter, title = row.waits
        return f"{waiter.what} {duration(waiter.seconds)} {title}", ""

    return [
        Column("PID", 7, lambda row, _: (str(row.view.pid), "bold")),
        Column("S", 1, lambda row, _: (row.view.state, _STATES.get(row.view.state, "")), left=True),
        Column(
            "CPU%",
            5,
            lambda row, _: ("" if row.cpu is None else f"{row.cpu * 100:.1f}", ""),
            lambda row: row.cpu or 0.0,
        ),
        Column("RSS", 6, lambda row, _: (size(row.view.rss), ""), lambda row: row.view.rss),
        Column("THR", 3, lambda row, _: (str(row.view.threads), ""), lambda row: row.view.threads),
        Column("HAS", 4, lambda row, _: (str(row.segments), ""), lambda row: row.segments),
        Column(
            "WAITS FOR",
            20,
            waits,
            lambda row: row.waits[0].seconds if row.waits else 0.0,
            left=True,
            grows=10,
        ),
        Column("COMMAND", 12, lambda row, _: (_short(row.view.command), "dim"), left=True, grows=20),
    ]


_STATES = {"R": "good", "T": "bad", "t": "bad", "D": "warn", "Z": "bad"}


def _short(command: str) -> str:
    """The command without the folders of its program and of its script."""
    return " ".join(
        word.rpartition("/")[2] if number < 2 and word.startswith("/") else word
        for number, word in enumerate(command.split(" "))
    )
