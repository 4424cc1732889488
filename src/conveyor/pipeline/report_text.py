"""A report as text, for a terminal or a log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .words import duration, many, size

if TYPE_CHECKING:
    from .report import Report, StageReport

__all__ = ["as_text", "summary"]

_HEAD = ("stage", "workers", "in", "out", "failed", "busy", "p50", "p99", "waiting")


def summary(report: Report) -> str:
    """One line."""
    words = [f"{many(report.taken, 'item')} in {duration(report.seconds)} ({report.rate:,.0f}/s)"]
    words.append(many(report.results, "result"))
    for count, word in (
        (report.failures, "failed"),
        (report.retries, "tried again"),
        (report.dead, "dead letters"),
        (report.in_flight, "cut off"),
        (report.resumed, "done by earlier runs"),
    ):
        if count:
            words.append(f"{count:,} {word}")
    if report.interrupted:
        words.append(f"ended early by {report.interrupted}")
    return ", ".join(words)


def _row(stage: StageReport) -> tuple[str, ...]:
    worked = bool(stage.workers)
    return (
        stage.name,
        f"{stage.size}" if worked else "",
        f"{stage.taken:,}" if stage.kind != "engine" or stage.taken else "",
        f"{stage.given:,}",
        f"{stage.failures:,}" if stage.failures else "",
        f"{stage.load:.0%}" if worked else "",
        duration(stage.p50) if worked else "",
        duration(stage.p99) if worked else "",
        f"{stage.waiting:,}" if stage.waiting else "",
    )


def as_text(report: Report) -> str:
    """Summary, a table of the stages, what was slow, what failed, and what to change."""
    rows = [_HEAD, *map(_row, report.stages)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    lines = [f"{report.name}: {summary(report)}", ""]
    for row in rows:
        first = row[0].ljust(widths[0])
        lines.append(
            "  ".join(
                [first, *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
            ).rstrip()
        )
    slow = [(slow, stage) for stage in report.stages for slow in stage.slowest]
    slow.sort(key=lambda pair: -pair[0].seconds)
    if slow:
        lines += ["", "slowest items"]
        lines += [
            f"  {duration(one.seconds):>8}  {stage.name}  item {one.number:,}: {_short(one.item)}"
            for one, stage in slow[:5]
        ]
    if report.first_failures:
        lines += ["", "failures" if report.failures <= 5 else f"the first 5 of {report.failures:,} failures"]
        for failure in report.first_failures[:5]:
            lines.append(f"  {failure.stage}  item {failure.number:,}: {failure}: {_short(failure.item)}")
    if report.memory:
        lines += ["", f"memory: {size(report.memory)} at the peak, workers included"]
    lines += ["", report.bottleneck]
    return "\n".join(lines)


def _short(item: object, most: int = 60) -> str:
    try:
        text = repr(item)
    except Exception:
        text = f"a {type(item).__name__}"
    text = text.replace("\n", " ")
    return text if len(text) <= most else f"{text[: most - 1]}…"
