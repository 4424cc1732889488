"""The charts of a report's page, as SVG."""

from __future__ import annotations

from html import escape

from ..base.format import duration, many, short, size
from ..supervise.worker_stats import WorkerStats
from .figures import Figures, StageReport

__all__ = ["colour", "counts_chart", "workers_chart"]

_WIDTH, _HEIGHT = 900, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 20, 12, 24
_NAMES = 190
_ROW = 20
_MOST_WORKERS = 100
_COLOURS = ("#2f6fdf", "#e07b39", "#3a9d5d", "#b04fb0", "#c2a11e", "#1f9aa8", "#d0455f", "#7a86d8")
_START = "#8892a6"


def colour(index: int) -> str:
    """That of a stage, everywhere on the page."""
    return _COLOURS[index % len(_COLOURS)]


def counts_chart(report: Figures) -> str:
    """The items that each stage had given, by time."""
    end = max(report.seconds, 1e-9)
    top = _round_up(max((max(counts, default=0) for _, counts in report.timeline), default=0))
    base = _HEIGHT - _BOTTOM
    tall = base - _TOP
    wide = _WIDTH - _LEFT - _RIGHT
    parts: list[str] = []
    for part in range(5):
        y = base - tall * part / 4
        parts.append(f"<line class=grid x1='{_LEFT}' x2='{_WIDTH - _RIGHT}' y1='{y:.1f}' y2='{y:.1f}'/>")
        parts.append(
            f"<text x='{_LEFT - 8}' y='{y + 4:.1f}' text-anchor=end>{escape(_count(top * part / 4))}</text>"
        )
    parts.append(_times(_LEFT, wide, _HEIGHT, end))
    keys: list[str] = []
    # The first lies lowest, for lines that lie on each other; dashes let the lower ones be seen.
    for index, stage in enumerate(report.stages):
        points = [(seconds, counts[index]) for seconds, counts in report.timeline if index < len(counts)]
        path = " ".join(
            f"{_LEFT + wide * min(seconds / end, 1):.1f},{base - tall * count / top:.1f}"
            for seconds, count in [(0.0, 0), *points]
        )
        dash = "" if index == 0 else f" stroke-dasharray='{4 + 3 * index} {3 + index}'"
        parts.append(
            f"<polyline fill=none stroke-width=2{dash} stroke='{colour(index)}' points='{path}'>"
            f"<title>{escape(stage.name)}: {escape(many(stage.given, 'item'))}</title></polyline>"
        )
        keys.append(_key(colour(index), stage.name))
    return (
        f"<div class=key>{''.join(keys)}</div><div class=wide>"
        f"<svg viewBox='0 0 {_WIDTH} {_HEIGHT}' role=img aria-label='items over time'>{''.join(parts)}</svg></div>"
    )


def workers_chart(report: Figures) -> str:
    """A bar for each worker, from its start to its end: the shares in which it started, worked and waited."""
    rows: list[tuple[str, StageReport, WorkerStats]] = []
    for index, stage in enumerate(report.stages):
        rows += [
            (colour(index), stage, account)
            for account in sorted(stage.workers, key=lambda account: account.born)
        ]
    rest = max(len(rows) - _MOST_WORKERS, 0)
    rows = rows[:_MOST_WORKERS]
    first = min(account.born for _, _, account in rows)
    end = max(report.seconds, max((account.died or first) - first for _, _, account in rows), 1e-9)
    wide = _WIDTH - _NAMES - _RIGHT
    tall = len(rows) * _ROW + _BOTTOM + 4
    parts = [_times(_NAMES, wide, tall, end, grid=True)]
    for index, (shade, stage, account) in enumerate(rows):
        y = index * _ROW + 3
        left = _NAMES + wide * (account.born - first) / end
        lasted = max((account.died if account.died is not None else first + end) - account.born, 0.0)
        width = max(wide * lasted / end, 1.0)
        known = max(account.start_seconds + account.busy_seconds + account.wait_seconds, lasted, 1e-9)
        start = width * account.start_seconds / known
        busy = width * account.busy_seconds / known
        high = _ROW - 6
        number = f" {account.pid}" if account.pid else ""
        name = f"{short(stage.name, 28 - len(number), quoted=False)}{number}"
        title = (
            f"{stage.name}{number}: {many(account.items, 'item')}, start {duration(account.start_seconds)}, "
            f"busy {duration(account.busy_seconds)}, waiting {duration(account.wait_seconds)}"
            + (f", {size(account.peak_memory)} of memory" if account.peak_memory else "")
            + (f"; {account.end}" if account.end else "")
        )
        mark = ""
        if account.end:
            at = min(left + width + 3, _WIDTH - 12)
            mark = f"<text class=dead x='{at:.1f}' y='{y + high - 3}'>✗</text>"
        parts.append(
            f"<g><title>{escape(title)}</title>"
            f"<text x='{_NAMES - 8}' y='{y + high - 3}' text-anchor=end>{escape(name)}</text>"
            f"<rect class=idle x='{left:.1f}' y='{y}' width='{width:.1f}' height='{high}' fill='{shade}'/>"
            f"<rect x='{left:.1f}' y='{y}' width='{start:.1f}' height='{high}' fill='{_START}'/>"
            f"<rect x='{left + start:.1f}' y='{y}' width='{busy:.1f}' height='{high}' fill='{shade}'/>{mark}</g>"
        )
    note = (
        f"<div class=key>{_key(_START, 'starting')}{_key('var(--accent)', 'full: busy')}"
        f"{_key('var(--accent)', 'pale: waiting', idle=True)}<span>each as a share of the worker's life</span>"
        + ("<span>✗ ended before its time</span>" if any(account.end for _, _, account in rows) else "")
        + (f"<span>and {many(rest, 'worker')} more</span>" if rest else "")
        + "</div>"
    )
    chart = (
        f"<svg viewBox='0 0 {_WIDTH} {tall}' role=img aria-label='workers over time'>{''.join(parts)}</svg>"
    )
    return f"{note}<div class=wide>{chart}</div>"


def _key(shade: str, name: str, idle: bool = False) -> str:
    faint = ";opacity:var(--idle)" if idle else ""
    dot = f"<span class=dot style='background:{shade}{faint}'></span>"
    return f"<span>{dot}{escape(short(name, 32, quoted=False))}</span>"


def _times(left: int, wide: int, tall: int, end: float, grid: bool = False) -> str:
    parts: list[str] = []
    for part in range(5):
        x = left + wide * part / 4
        anchor = "end" if part == 4 else "middle"
        if grid:
            parts.append(f"<line class=grid x1='{x:.1f}' x2='{x:.1f}' y1='0' y2='{tall - _BOTTOM}'/>")
        parts.append(
            f"<text x='{x:.1f}' y='{tall - 7}' text-anchor={anchor}>{escape(duration(end * part / 4, 2))}</text>"
        )
    return "".join(parts)


def _round_up(most: int) -> int:
    """The next number that four steps lead up to evenly, and people like."""
    if most <= 4:
        return 4
    unit = 10 ** (len(str(most)) - 1)
    return next(
        int(unit * share) for share in (1, 1.2, 1.6, 2, 2.4, 3.2, 4, 5, 6, 8, 10) if unit * share >= most
    )


def _count(number: float) -> str:
    for unit, word in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= unit:
            return f"{number / unit:.3g}{word}"
    return f"{number:.3g}"
