"""A report as one HTML page, which needs nothing else: no script, no network."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from .report_text import summary
from .words import duration, size

if TYPE_CHECKING:
    from .account import WorkerAccount
    from .report import Report, StageReport

__all__ = ["as_html"]

_WIDTH, _HEIGHT = 860, 220
_COLOURS = ("#2f6fdf", "#e07b39", "#3a9d5d", "#b04fb0", "#c2a11e", "#5a6f8f", "#d0455f", "#1f9aa8")
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1d2430; background: #fff;
  max-width: 920px; margin: 2em auto; padding: 0 1em }
h1 { font-size: 1.5em; margin-bottom: 0 } h2 { font-size: 1.1em; margin-top: 2em }
table { border-collapse: collapse; width: 100% } td, th { padding: .25em .6em; text-align: right;
  border-bottom: 1px solid #e3e7ee }
td:first-child, th:first-child, td.l { text-align: left } th { font-weight: 600; color: #56617a }
.verdict { background: #f1f5fd; border-left: 4px solid #2f6fdf; padding: .6em 1em; margin: 1em 0 }
.bad { color: #b3261e } .quiet { color: #56617a } svg { width: 100%; height: auto }
svg text { font-size: 11px; fill: #56617a }
.bar { display: inline-block; height: .8em; vertical-align: middle } code { font-size: .92em }
@media (prefers-color-scheme: dark) { body { color: #dfe5f0; background: #14181f } td, th { border-color: #2b3340 }
.verdict { background: #1b2433 } th, .quiet, svg text { color: #93a0b8; fill: #93a0b8 } .bad { color: #ff8a80 } }
"""


def as_html(report: Report) -> str:
    """The page."""
    body = [
        f"<h1>{escape(report.name)}</h1><p class=quiet>{escape(summary(report))}"
        + (f"; {size(report.memory)} of memory at the peak" if report.memory else "")
        + "</p>",
        f"<p class=verdict>{escape(report.bottleneck)}</p>",
        "<h2>Stages</h2>",
        _stages(report),
        "<h2>Items over time</h2>",
        _lines(report),
    ]
    if any(stage.workers for stage in report.stages):
        body += ["<h2>Workers</h2>", _workers(report)]
    slow = sorted(
        (
            (slow.seconds, stage.name, slow.number, slow.item)
            for stage in report.stages
            for slow in stage.slowest
        ),
        key=lambda entry: -entry[0],
    )
    if slow:
        rows = "".join(
            f"<tr><td>{escape(duration(seconds))}<td class=l>{escape(name)}<td>{number:,}"
            f"<td class=l><code>{_repr(item)}</code>"
            for seconds, name, number, item in slow[:10]
        )
        body += ["<h2>Slowest items</h2>", f"<table><tr><th>time<th>stage<th>item<th>{rows}</table>"]
    if report.first_failures:
        rows = "".join(
            f"<tr><td class=l>{escape(failure.stage)}<td>{failure.number:,}<td>{failure.attempts}"
            f"<td class='l bad'>{escape(str(failure))}<td class=l><code>{_repr(failure.item)}</code>"
            for failure in report.first_failures
        )
        title = (
            f"Failures ({report.failures:,})" if report.failures > len(report.first_failures) else "Failures"
        )
        body += [f"<h2>{title}</h2>", f"<table><tr><th>stage<th>item<th>tries<th>error<th>{rows}</table>"]
    title = escape(f"{report.name}: a run of conveyor")
    return (
        f'<!doctype html><html lang=en><head><meta charset=utf-8><meta name=viewport content="width=device-width">'
        f"<title>{title}</title><style>{_STYLE}</style></head><body>{''.join(body)}</body></html>\n"
    )


def _stages(report: Report) -> str:
    cells: list[str] = []
    for index, stage in enumerate(report.stages):
        colour = _COLOURS[index % len(_COLOURS)]
        bad = f"<span class=bad>{stage.failures:,}</span>" if stage.failures else ""
        load = (
            f"<span class=bar style='width:{60 * stage.load:.0f}px;background:{colour}'></span> {stage.load:.0%}"
            if stage.workers
            else ""
        )
        times = [duration(value) if stage.workers else "" for value in (stage.p50, stage.p90, stage.p99)]
        cells.append(
            f"<tr><td><span style='color:{colour}'>●</span> {escape(stage.name)}<td>{stage.size or ''}"
            f"<td>{stage.taken:,}<td>{stage.given:,}<td>{bad}<td>{stage.retries or ''}<td>{load}"
            f"<td>{times[0]}<td>{times[1]}<td>{times[2]}"
        )
    head = "<tr><th>stage<th>workers<th>in<th>out<th>failed<th>retries<th>busy<th>p50<th>p90<th>p99"
    return f"<table>{head}{''.join(cells)}</table>"


def _lines(report: Report) -> str:
    """Items that each stage had given, by time."""
    points = report.timeline
    end = max(report.seconds, 1e-9)
    top = max((max(counts, default=0) for _, counts in points), default=0) or 1
    parts = [_axes(end, f"{top:,} items")]
    for index, stage in enumerate(report.stages):
        path = " ".join(
            f"{_x(seconds / end):.1f},{_HEIGHT - 20 - (_HEIGHT - 40) * counts[index] / top:.1f}"
            for seconds, counts in points
            if index < len(counts)
        )
        colour = _COLOURS[index % len(_COLOURS)]
        parts.append(
            f"<polyline fill=none stroke-width=2 stroke='{colour}' points='{path}'>"
            f"<title>{escape(stage.name)}</title></polyline>"
        )
    return (
        f"<svg viewBox='0 0 {_WIDTH} {_HEIGHT}' role=img aria-label='items over time'>{''.join(parts)}</svg>"
    )


def _x(share: float) -> float:
    return 10 + (_WIDTH - 20) * min(max(share, 0.0), 1.0)


def _axes(end: float, top: str) -> str:
    base = _HEIGHT - 20
    marks = "".join(
        f"<text x='{_x(part / 4):.0f}' y='{_HEIGHT - 5}' "
        f"text-anchor='{('start', 'middle', 'middle', 'middle', 'end')[part]}'>"
        f"{escape(duration(end * part / 4))}</text>"
        for part in range(5)
    )
    line = f"<line x1=10 x2={_WIDTH - 10} y1={base} y2={base} stroke='#aab4c5'/>"
    return f"{line}<text x=10 y=14>{escape(top)}</text>{marks}"


def _workers(report: Report) -> str:
    """A bar for each worker's life: start, busy and waiting, as shares of it."""
    rows: list[tuple[str, StageReport, WorkerAccount]] = []
    for index, stage in enumerate(report.stages):
        rows += [(_COLOURS[index % len(_COLOURS)], stage, account) for account in stage.workers]
    rows = rows[:200]
    if not rows:
        return ""
    first = min(account.born for _, _, account in rows)
    end = max(report.seconds, max((account.died or first) - first for _, _, account in rows), 1e-9)
    height = 18
    parts: list[str] = []
    for index, (colour, stage, account) in enumerate(rows):
        y = index * height + 4
        begin = (account.born - first) / end
        life = max((account.died or first + end) - account.born, 1e-9)
        left, width = _x(begin), (_WIDTH - 20) * life / end
        known = account.start_seconds + account.busy_seconds + account.wait_seconds or 1e-9
        start = width * account.start_seconds / max(known, life)
        busy = width * account.busy_seconds / max(known, life)
        who = f"{stage.name} {account.pid}" if account.pid else stage.name
        title = (
            f"{who}: {account.items:,} items, start {duration(account.start_seconds)}, "
            f"busy {duration(account.busy_seconds)}, waiting {duration(account.wait_seconds)}"
            + (f", {size(account.peak_memory)}" if account.peak_memory else "")
            + (f"; {account.end}" if account.end else "")
        )
        end_mark = f"<text x='{left + width + 2:.0f}' y='{y + 11}'>✗</text>" if account.end else ""
        parts.append(
            f"<g><title>{escape(title)}</title>"
            f"<rect x='{left:.1f}' y={y} width='{max(width, 1):.1f}' height={height - 4} fill='{colour}' opacity=.18 />"
            f"<rect x='{left:.1f}' y={y} width='{start:.1f}' height={height - 4} fill='#8892a6' />"
            f"<rect x='{left + start:.1f}' y={y} width='{busy:.1f}' height={height - 4} fill='{colour}' />"
            f"<text x='{left + 4:.1f}' y={y + 11} style='fill:#fff'>{escape(who)}</text>{end_mark}</g>"
        )
    tall = len(rows) * height + 10
    note = (
        "<p class=quiet>grey: starting, full: busy, pale: waiting, each as a share of the worker's life; "
        "✗: it died</p>"
    )
    return f"<svg viewBox='0 0 {_WIDTH} {tall}' role=img aria-label='workers'>{''.join(parts)}</svg>{note}"


def _repr(item: object, most: int = 160) -> str:
    try:
        text = repr(item)
    except Exception:
        text = f"a {type(item).__name__}"
    return escape(text if len(text) <= most else f"{text[: most - 1]}…")
