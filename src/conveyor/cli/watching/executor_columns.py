"""The columns of executors and `Workers`."""

from __future__ import annotations

from collections.abc import Callable

from .rows import Pool
from .table import Column
from .text import Glyphs, Piece
from .units import count, duration, rate, size

__all__ = ["executor_columns"]


def executor_columns(glyphs: Glyphs) -> list[Column[Pool]]:
    """What is told of each: calls first, then processes."""

    def name(row: Pool, _: int) -> Piece:
        return (
            row.figures.name or f"{row.figures.kind} of {row.figures.pid}",
            "bad" if row.figures.error else "name",
        )

    def calls(number: Callable[[Pool], int], style: str = "") -> Callable[[Pool, int], Piece]:
        def cell(row: Pool, _: int) -> Piece:
            found = number(row)
            return count(found), style if found else "dim"

        return cell

    def load(row: Pool, width: int) -> Piece:
        return glyphs.bar(row.figures.load, width), "good"

    def note(row: Pool, _: int) -> Piece:
        if row.figures.error:
            return row.figures.error, "bad"
        late = f", tells nothing for {duration(row.pipeline.age)}" if row.pipeline.is_late else ""
        text = f"{row.figures.kind}, {row.figures.phase}{late}, pid {row.figures.pid}"
        return text, "warn" if late else "dim"

    return [
        Column("NAME", 20, name, lambda row: row.figures.name, left=True, grows=10),
        Column("PENDING", 7, calls(lambda row: row.figures.pending), lambda row: row.figures.pending),
        Column("RUNNING", 7, calls(lambda row: row.figures.running), lambda row: row.figures.running),
        Column("DONE", 6, calls(lambda row: row.figures.done), lambda row: row.figures.done),
        Column("FAIL", 5, calls(lambda row: row.figures.failed, "bad"), lambda row: row.figures.failed),
        Column("DONE/S", 6, lambda row, _: (rate(row.figures.rate), ""), lambda row: row.figures.rate),
        Column("WRK", 5, lambda row, _: (f"{row.figures.workers}/{row.figures.most_workers}", "")),
        Column("DIED", 5, calls(lambda row: row.figures.restarts, "bad"), lambda row: row.figures.restarts),
        Column(
            "CPU%",
            5,
            lambda row, _: ("" if row.figures.cpu is None else f"{row.figures.cpu * 100:.1f}", ""),
            lambda row: row.figures.cpu or 0.0,
        ),
        Column(
            "RSS",
            6,
            lambda row, _: ("" if row.figures.rss is None else size(row.figures.rss), ""),
            lambda row: row.figures.rss or 0,
        ),
        Column("", 12, note, left=True, grows=40),
        Column("LOAD", 6, load, left=True, grows=6, drawn=True, rank=1),
        Column("RETRIES", 7, calls(lambda row: row.figures.retries), rank=2),
    ]
