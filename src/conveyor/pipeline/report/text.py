"""A report as text, for a terminal or a log."""

from __future__ import annotations

import textwrap

from ..base.format import duration, many, short, size
from .figures import Figures, StageReport

__all__ = ["as_text", "summary"]

_HEAD = ("stage", "workers", "in", "out", "failed", "busy", "p50", "p99")
_WORKER_HEAD = ("worker", "stage", "items", "start", "busy", "wait", "memory", "end")
_WIDTH = 79
_MOST_WORKERS = 16
_MOST_NAME = 24


def summary(report: Figures) -> str:
    """One line."""
    words = [f"{many(report.taken, 'item')} in {duration(report.seconds)} ({report.rate:,.0f}/s)"]
    words.append(many(report.results, "result"))
    if report.failures:
        words.append(f"{report.failures:,} failed")
    if report.retries:
        words.append(many(report.retries, "retry"))
    if report.dead:
        words.append(many(report.dead, "dead letter"))
    if report.deaths:
        words.append(f"{many(report.deaths, 'worker')} died")
    if report.renewed:
        words.append(f"workers renewed {many(report.renewed, 'time')}")
    if report.in_flight:
        words.append(f"{report.in_flight:,} cut off")
    if report.resumed:
        words.append(f"{report.resumed:,} done by earlier runs")
    if report.interrupted:
        words.append(f"ended early by {report.interrupted}")
    if report.partial:
        words.append(f"what was written is in {' and '.join(report.partial)}")
    return ", ".join(words)


def _row(stage: StageReport) -> tuple[str, ...]:
    worked = bool(stage.workers)
    return (
        short(stage.name, _MOST_NAME, quoted=False),
        f"{stage.size}" if worked else "",
        f"{stage.taken:,}" if stage.name != "source" else "",
        f"{stage.given:,}",
        f"{stage.failures:,}" if stage.failures else "",
        f"{stage.load:.0%}" if worked or stage.load >= 0.01 else "",
        duration(stage.p50, 2) if worked else "",
        duration(stage.p99, 2) if worked else "",
    )


def _table(rows: list[tuple[str, ...]], left: int = 1) -> list[str]:
    """Columns, as wide as they need; empty ones are left out.

    Args:
        rows: the head first.
        left: so many columns are words, and the last is.
    """
    kept = [column for column in range(len(rows[0])) if any(row[column] for row in rows[1:])]
    widths = {column: max(len(row[column]) for row in rows) for column in kept}
    lines: list[str] = []
    for row in rows:
        cells = [
            row[column].ljust(widths[column])
            if column < left or rows[0][column] == "end"
            else row[column].rjust(widths[column])
            for column in kept
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


def as_text(report: Figures) -> str:
    """Summary, the stages, their workers, what was slow, what failed, and what to change."""
    lines = [*_wrapped(f"{report.name}: {summary(report)}"), ""]
    lines += _table([_HEAD, *map(_row, report.stages)])
    lines += _workers(report)
    slow = [(slow, stage) for stage in report.stages for slow in stage.slowest]
    slow.sort(key=lambda pair: -pair[0].seconds)
    if slow:
        lines += ["", "slowest items"]
        for one, stage in slow[:5]:
            name = short(stage.name, _MOST_NAME, quoted=False)
            lines.append(
                short(
                    f"  {duration(one.seconds):>8}  {name}, item {one.number:,}: {short(one.item, 60)}",
                    _WIDTH,
                    quoted=False,
                )
            )
    if report.first_failures:
        lines += ["", "failures" if report.failures <= 5 else f"the first 5 of {report.failures:,} failures"]
        for failure in report.first_failures[:5]:
            why = short(str(failure), 300, quoted=False)
            text = f"  {failure.stage}, item {failure.number:,}: {why}; the item: {short(failure.item, 60)}"
            lines += _wrapped(text, "    ")
    if report.memory:
        lines += ["", f"memory: {size(report.memory)} at the peak, workers included"]
    lines += ["", *_wrapped(report.bottleneck)]
    if report.blas:
        lines += _wrapped(report.blas)
    return "\n".join(lines)


def _workers(report: Figures) -> list[str]:
    """What each did; if there are very many, those that did not end as they should."""
    every = [
        (stage, account) for stage in report.stages if stage.kind != "coroutines" for account in stage.workers
    ]
    shown = every if len(every) <= _MOST_WORKERS else [pair for pair in every if pair[1].end][:_MOST_WORKERS]
    if not shown:
        return []
    rows: list[tuple[str, ...]] = [_WORKER_HEAD]
    for stage, account in shown:
        rows.append(
            (
                str(account.pid)
                if account.pid
                else {"executor": "executor", "inline": "this process"}.get(stage.kind, "thread"),
                short(stage.name, _MOST_NAME, quoted=False),
                f"{account.items:,}",
                duration(account.start_seconds, 2),
                duration(account.busy_seconds),
                duration(account.wait_seconds),
                size(account.peak_memory) if account.peak_memory else "",
                account.end,
            )
        )
    rest = len(every) - len(shown)
    return ["", *_table(rows, left=2), *([f"and {many(rest, 'worker')} more"] if rest else [])]


def _wrapped(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(
        text, _WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    ) or [""]
