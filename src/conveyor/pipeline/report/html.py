"""A report as one HTML page that needs nothing else."""

from __future__ import annotations

from html import escape

from ..base.format import duration, many, short, size
from .charts import colour, counts_chart, workers_chart
from .figures import Figures, StageReport
from .text import summary

__all__ = ["as_html"]

_STYLE = """
:root { color-scheme: light dark; --ink: #1d2430; --quiet: #5b667d; --page: #fff; --line: #e3e7ee;
--box: #f2f6fd;
--bad: #b3261e; --accent: #2f6fdf; --idle: .2 }
@media (prefers-color-scheme: dark) { :root { --ink: #dfe5f0; --quiet: #96a3bb; --page: #14181f;
--line: #2b3340; --box: #1b2433;
--bad: #ff8a80; --accent: #6ea0ff; --idle: .3 } }
* { box-sizing: border-box }
body { font: 15px/1.5 system-ui, "Segoe UI", Roboto, Helvetica, Arial, sans-serif; color: var(--ink);
background: var(--page);
max-width: 960px; margin: 0 auto; padding: 1.5em 1em 3em }
h1 { font-size: 1.5em; margin: 0; overflow-wrap: anywhere } h2 { font-size: 1.1em; margin: 2em 0 .4em }
p { margin: .4em 0 } .quiet { color: var(--quiet) } .bad { color: var(--bad) }
.verdict { background: var(--box); border-left: 4px solid var(--accent); padding: .7em 1em;
margin: 1em 0; overflow-wrap: anywhere }
.tiles { display: flex; flex-wrap: wrap; gap: .6em; margin: 1em 0 }
.tiles div { flex: 1 1 7em; border: 1px solid var(--line); border-radius: 6px; padding: .4em .8em }
.tiles b { display: block; font-size: 1.25em; font-weight: 600; white-space: nowrap }
.tiles span { color: var(--quiet); font-size: .87em }
.wide { overflow-x: auto } table { border-collapse: collapse; width: 100%;
font-variant-numeric: tabular-nums }
td, th { padding: .3em .6em; text-align: right; border-bottom: 1px solid var(--line);
vertical-align: top; white-space: nowrap }
th { font-weight: 600; color: var(--quiet); font-size: .9em } td.l, th.l { text-align: left }
td.w { text-align: left; white-space: normal; overflow-wrap: anywhere; min-width: 12em }
code { font: .87em/1.4 ui-monospace, "DejaVu Sans Mono", Menlo, monospace }
.dot { display: inline-block; width: .65em; height: .65em; border-radius: 50%; margin-right: .45em }
.bar { display: inline-block; width: 60px; height: .7em; background: var(--line); margin-right: .5em;
border-radius: 2px; overflow: hidden }
.bar i { display: block; height: 100% }
.key { display: flex; flex-wrap: wrap; gap: .2em 1.2em; color: var(--quiet); font-size: .87em;
margin-bottom: .4em }
svg { display: block; width: 100%; min-width: 560px; height: auto }
svg text { font: 11px system-ui, sans-serif; fill: var(--quiet) }
svg .grid { stroke: var(--line) } svg .idle { opacity: var(--idle) } svg .dead { fill: var(--bad);
font-weight: bold }
"""


def as_html(report: Figures) -> str:
    """The page."""
    body = [
        f"<h1>{escape(report.name)}</h1>",
        f"<p class=quiet>{escape(summary(report))}</p>",
        _tiles(report),
        f"<p class=verdict>{escape(report.bottleneck)}</p>",
        "<h2>Stages</h2>",
        _stages(report),
    ]
    if report.taken:
        body += ["<h2>Items over time</h2>", counts_chart(report)]
    if any(stage.workers for stage in report.stages):
        body += ["<h2>Workers</h2>", workers_chart(report)]
    body += [_slowest(report), _failures(report)]
    title = escape(f"{report.name}: a run of conveyor")
    return (
        "<!doctype html><html lang=en><head><meta charset=utf-8>"
        '<meta name=viewport content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{_STYLE}</style></head><body>{''.join(body)}</body></html>\n"
    )


def _tiles(report: Figures) -> str:
    tiles = [
        (f"{report.taken:,}", "items", ""),
        (duration(report.seconds), "time", ""),
        (f"{report.rate:,.0f}/s", "rate", ""),
        (f"{report.failures:,}", "failed", "bad" if report.failures else ""),
        (f"{report.deaths:,}", "workers died", "bad" if report.deaths else ""),
        (size(report.memory), "peak memory", ""),
    ]
    made = "".join(
        f"<div><b class='{kind}'>{escape(value)}</b><span>{word}</span></div>" for value, word, kind in tiles
    )
    return f"<div class=tiles>{made}</div>"


def _stages(report: Figures) -> str:
    rows = "".join(_stage(index, stage) for index, stage in enumerate(report.stages))
    head = "<tr><th class=l>stage<th>workers<th>in<th>out<th>failed<th>retries<th class=l>busy<th>p50<th>p90<th>p99"
    return f"<div class=wide><table>{head}{rows}</table></div>"


def _stage(index: int, stage: StageReport) -> str:
    shade = colour(index)
    bad = f"<span class=bad>{stage.failures:,}</span>" if stage.failures else ""
    load = ""
    if stage.workers or stage.load >= 0.01:
        full = f"<i style='width:{100 * stage.load:.0f}%;background:{shade}'></i>"
        load = f"<span class=bar>{full}</span>{stage.load:.0%}"
    times = "".join(
        f"<td>{escape(duration(value, 2)) if stage.workers else ''}"
        for value in (stage.p50, stage.p90, stage.p99)
    )
    return (
        f"<tr><td class=l><span class=dot style='background:{shade}'></span>{_name(stage.name)}"
        f"<td>{stage.size if stage.workers else ''}<td>{'' if stage.name == 'source' else f'{stage.taken:,}'}"
        f"<td>{stage.given:,}"
        f"<td>{bad}<td>{stage.retries or ''}<td class=l>{load}{times}"
    )


def _slowest(report: Figures) -> str:
    slow = sorted(
        (
            (slow.seconds, stage.name, slow.number, slow.item)
            for stage in report.stages
            for slow in stage.slowest
        ),
        key=lambda entry: -entry[0],
    )
    if not slow:
        return ""
    rows = "".join(
        f"<tr><td>{escape(duration(seconds))}<td class=l>{_name(name)}<td>{number:,}"
        f"<td class=w><code>{_item(item)}</code>"
        for seconds, name, number, item in slow[:10]
    )
    head = "<tr><th>time<th class=l>stage<th>number<th class=l>item"
    return f"<h2>Slowest items</h2><div class=wide><table>{head}{rows}</table></div>"


def _failures(report: Figures) -> str:
    if not report.first_failures:
        return ""
    rows = "".join(
        f"<tr><td class=l>{_name(failure.stage)}<td>{failure.number:,}<td>{failure.attempts}"
        f"<td class='w bad'>{escape(short(str(failure), 500, quoted=False))}"
        f"<td class=w><code>{_item(failure.item)}</code>"
        for failure in report.first_failures
    )
    more = report.failures - len(report.first_failures)
    head = "<tr><th class=l>stage<th>number<th>tries<th class=l>error<th class=l>item"
    note = f"<p class=quiet>and {escape(many(more, 'failure'))} more</p>" if more > 0 else ""
    return f"<h2>Failures</h2><div class=wide><table>{head}{rows}</table></div>{note}"


def _name(name: str) -> str:
    return f"<span title='{escape(name, quote=True)}'>{escape(short(name, 32, quoted=False))}</span>"


def _item(item: object) -> str:
    return escape(short(item, 160))
