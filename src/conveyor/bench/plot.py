"""The run as a chart: a panel for each topology, bars by payload, on a log scale."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from conveyor.bench.optional import optional
from conveyor.bench.report import quantity
from conveyor.bench.rivals import RIVALS
from conveyor.bench.run import Run
from conveyor.bench.summary import Outcome

__all__ = ["draw"]

_MOST_IN_A_PANEL = 8
_COLOURS = {
    "conveyor": "#c2410c",
    "conveyor-many": "#fb923c",
    "conveyor-allocate": "#facc15",
    "conveyor-unbounded": "#b45309",
    "multiprocessing": "#1e3a5f",
    "simplequeue": "#5b83ad",
    "faster-fifo": "#3f7d58",
    "faster-fifo-many": "#8fc1a3",
    "cloudtoid": "#7c5295",
    "pyzmq": "#9ca3af",
    "dejaq": "#b8860b",
    "py-sharedmemory": "#be7c9b",
    "subetha": "#0e7490",
}


def _panel(axes: Any, outcomes: list[Outcome]) -> None:
    """Bars for one topology; the whiskers are the quartiles, figures on two of the bars."""
    names = [name for name in RIVALS if any(name in outcome.rows for outcome in outcomes)]
    width = 0.84 / max(1, len(names))
    for place, outcome in enumerate(outcomes):
        rows = [outcome.rows[name] for name in names if name in outcome.rows and outcome.rows[name].samples]
        for number, row in enumerate(rows):
            x = place + (number - (len(rows) - 1) / 2) * width
            low, high = row.quartiles
            axes.bar(x, row.rate, width * 0.92, color=_COLOURS.get(row.rival, "#444444"), label=row.rival)
            whiskers = [[row.rate - low], [high - row.rate]]
            axes.errorbar(x, row.rate, yerr=whiskers, color="#222222", linewidth=0.8, capsize=1.5)
            if row.rival in ("conveyor", "multiprocessing"):
                axes.annotate(
                    quantity(row.rate), (x, high), (0, 3), textcoords="offset points", ha="center", fontsize=7
                )
    axes.set_yscale("log")
    axes.set_xticks(
        range(len(outcomes)), [outcome.workload.title.replace(", ", "\n") for outcome in outcomes]
    )
    axes.set_xlim(-0.6, max(len(outcomes), 3) - 0.4)  # a lone group is not stretched over the panel
    rates = [rate for outcome in outcomes for row in outcome.measured for rate in row.quartiles]
    if rates:
        axes.set_ylim(min(rates) / 2, max(rates) * 2.5)
    axes.set_ylabel(outcomes[0].workload.topology.unit)
    workload = outcomes[0].workload
    beside = f"; CPU burners: {workload.burners}" if workload.burners else ""
    axes.set_title(f"{workload.topology.name}: {workload.topology.title}{beside}", loc="left")
    axes.grid(axis="y", which="major", linewidth=0.4, color="#cccccc")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _backlog_panel(axes: Any, run: Run) -> None:
    backlog = run.extras.backlog
    assert backlog is not None
    sizes = [point.size for point in backlog.points]
    axes.plot(sizes, [point.cost_ns for point in backlog.points], "o-", color=_COLOURS["conveyor"])
    axes.set_xscale("log")
    axes.set_ylim(0, backlog.worst.cost_ns * 1.3)
    axes.set_ylabel("ns, put + get")
    axes.set_title("conveyor.Queue: cost of an item by backlog (items)", loc="left")
    axes.grid(linewidth=0.4, color="#cccccc")
    axes.spines[["top", "right"]].set_visible(False)


def _groups(run: Run) -> list[list[Outcome]]:
    """What stands in one panel: of one topology, beside as many burners, those with bounds of their own last."""
    groups: dict[tuple[str, int], list[Outcome]] = {}
    for outcome in run.outcomes.values():
        if outcome.measured:
            workload = outcome.workload
            groups.setdefault((workload.topology.name, workload.burners), []).append(outcome)
    for outcomes in groups.values():
        outcomes.sort(key=lambda outcome: outcome.workload.maxsize is not None)
    return [
        outcomes[start : start + _MOST_IN_A_PANEL]
        for outcomes in groups.values()
        for start in range(0, len(outcomes), _MOST_IN_A_PANEL)
    ]


def draw(run: Run, path: Path) -> None:
    """Write the chart; its format is the suffix: png, svg, pdf.

    Raises ImportError without matplotlib.
    """
    optional("matplotlib").use("Agg")
    pyplot = optional("matplotlib.pyplot")
    pyplot.rcParams["svg.hashsalt"] = "conveyor"
    groups = _groups(run)
    panels = len(groups) + (run.extras.backlog is not None)
    if not panels:
        return
    figure, grid = pyplot.subplots(
        panels, 1, figsize=(11, 0.9 + 2.7 * panels), squeeze=False, layout="constrained"
    )
    for axes, outcomes in zip(grid[:, 0], groups, strict=False):
        _panel(axes, outcomes)
    if run.extras.backlog is not None:
        _backlog_panel(grid[-1, 0], run)
    shown = {row.rival for outcomes in groups for outcome in outcomes for row in outcome.measured}
    patches = [
        pyplot.Rectangle((0, 0), 1, 1, color=_COLOURS.get(name, "#444444"), label=RIVALS[name].title)
        for name in RIVALS
        if name in shown
    ]
    if patches:
        figure.legend(
            handles=patches, loc="outside upper center", ncols=min(4, len(patches)), frameon=False, fontsize=8
        )
    machine = run.machine
    figure.supxlabel(
        f"{machine.cpu}, {machine.cores} cores, {machine.kernel}, {machine.python}, "
        f"commit {machine.commit or '-'}",
        fontsize=7,
        color="#555555",
    )
    # The same figures give the same file.
    figure.savefig(path, dpi=130, metadata={"Date": None} if path.suffix == ".svg" else None)
    pyplot.close(figure)
