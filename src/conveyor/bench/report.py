"""The run as tables for a person."""

from __future__ import annotations

from itertools import groupby
from statistics import median

from rich.console import Console
from rich.table import Table
from rich.text import Text

from conveyor.bench.machine import Machine
from conveyor.bench.payloads import PAYLOADS
from conveyor.bench.rivals import RIVALS
from conveyor.bench.run import Run
from conveyor.bench.summary import NOISY, YARDSTICK, Outcome, Ratio, Row, spread

__all__ = ["print_machine", "print_run", "quantity"]


def quantity(value: float) -> str:
    """A number with three digits and a letter: 1.23 M, 456 k."""
    for scale, letter in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= scale:
            return f"{value / scale:.3g}{letter}"
    return f"{value:.3g}"


def _duration(seconds: float) -> str:
    """Seconds as ns, us or ms, with three digits."""
    for scale, unit in ((1e-3, "ms"), (1e-6, "us")):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def print_machine(console: Console, machine: Machine, skipped: dict[str, str]) -> None:
    """Where this is measured, and which rivals are missing."""
    cores = f"{machine.cores} of {machine.cores_present} cores"
    where = ", ".join(
        filter(
            None,
            [
                machine.cpu,
                cores,
                f"{machine.memory_bytes / (1 << 30):.0f} GiB",
                "virtual machine" if machine.virtual else "",
                f"governor {machine.governor}" if machine.governor else "",
            ],
        )
    )
    versions = ", ".join(f"{name} {number or '-'}" for name, number in machine.packages.items())
    for title, text in (
        ("machine", where),
        ("system", f"{machine.kernel}, {machine.python}"),
        ("packages", versions),
        ("commit", machine.commit or "not in a checkout"),
        ("load", f"{machine.load_before:.2f} (1-minute average at the start)"),
    ):
        console.print(Text.assemble((f"{title:9}", "bold"), text))
    if machine.load_before > 0.5:
        console.print("warning: the machine is busy; trust the ratios, not the rates", style="yellow")
    for name, why in skipped.items():
        title = RIVALS[name].title if name in RIVALS else PAYLOADS[name].title
        console.print(f"skipped: {title}: {why}", style="yellow", highlight=False)


def _ratio(ratio: Ratio | None) -> str:
    return "" if ratio is None else f"{ratio.value:.2f}x"


def _cells(outcome: Outcome, row: Row) -> list[str | Text]:
    rival = RIVALS[row.rival]
    title = Text(rival.title, style="bold" if rival.ours else "")
    if not row.samples:
        return [title, Text(row.failure or "not measured", style="red")]
    low, high = row.quartiles
    note = "!" if row.failure else "+" if row.ahead else ""
    shared: list[str | Text] = [
        _duration(1 / row.worst) if outcome.workload.topology.round_trip else quantity(row.worst),
        f"{(high - low) / row.rate:.0%}",
        _ratio(outcome.to_yardstick(row.rival)),
        _ratio(outcome.to_best(row.rival)),
        _duration(row.cpu_per_item),
    ]
    if outcome.workload.topology.round_trip:
        return [title, f"{_duration(1 / row.rate)}{note}", *shared]
    volume = row.rate * outcome.workload.payload.size
    bandwidth = f"{volume / 1e9:.2f}" if outcome.workload.payload.large else ""
    faults = f"{row.faults_per_item:.1f}" if outcome.workload.payload.large else ""
    return [title, f"{quantity(row.rate)}{note}", *shared, bandwidth, faults]


def _copies(outcome: Outcome) -> list[str]:
    """A row for what the memory allows: one memcpy an item."""
    low, rate, high = spread(outcome.copies)
    yardstick = outcome.rows.get(YARDSTICK)
    ratio = f"{rate / yardstick.rate:.2f}x" if yardstick is not None and yardstick.samples else ""
    title = "(one memcpy each)"
    if outcome.workload.topology.round_trip:
        return [title, _duration(2 / rate), _duration(2 / min(outcome.copies)), f"{(high - low) / rate:.0%}"]
    volume = f"{rate * outcome.workload.payload.size / 1e9:.2f}"
    worst = quantity(min(outcome.copies))
    return [
        title,
        quantity(rate),
        worst,
        f"{(high - low) / rate:.0%}",
        ratio,
        "",
        _duration(1 / rate),
        volume,
    ]


def _table_of(outcome: Outcome) -> tuple[str, int]:
    """What the workloads of a table have in common."""
    return outcome.workload.topology.name, outcome.workload.burners


def _topology_table(outcomes: list[Outcome]) -> Table:
    topology, burners = outcomes[0].workload.topology, outcomes[0].workload.burners
    beside = f"; CPU burners: {burners}" if burners else ""
    table = Table(
        title=f"{topology.name}: {topology.title}{beside}", title_justify="left", title_style="bold"
    )
    table.add_column("payload", min_width=12)
    table.add_column("queue")
    names = [
        "round trip" if topology.round_trip else "items/s",
        "worst",
        "spread",
        "to mp",
        "to best",
        "CPU/item",
    ]
    for name in names if topology.round_trip else [*names, "GB/s", "faults"]:
        table.add_column(name, justify="right", no_wrap=True)
    for outcome in outcomes:
        for number, row in enumerate(outcome.rows.values()):
            table.add_row(outcome.workload.title if not number else "", *_cells(outcome, row))
        if outcome.copies:
            table.add_row("", *_copies(outcome), style="dim")
        table.add_section()
    return table


def _bars_table(run: Run) -> Table:
    table = Table(title="bars", title_justify="left", title_style="bold")
    for name in ("work", "required", "measured", ""):
        table.add_column(name)
    verdicts = {
        True: Text("met", style="green"),
        False: Text("NOT MET", style="red"),
        None: Text("not judged"),
    }
    for verdict in run.verdicts:
        table.add_row(verdict.work, verdict.required, verdict.measured, verdicts[verdict.met])
    return table


def _backlog_table(run: Run) -> Table | None:
    backlog = run.extras.backlog
    if backlog is None:
        return None
    table = Table(title="backlog: ns an item", title_justify="left", title_style="bold")
    for name in ("items", "put", "get", "both", "ratio"):
        table.add_column(name, justify="right")
    first = backlog.points[0].cost_ns
    for point in backlog.points:
        table.add_row(
            f"{point.size:,}",
            f"{sorted(point.put_ns)[len(point.put_ns) // 2]:.0f}",
            f"{sorted(point.get_ns)[len(point.get_ns) // 2]:.0f}",
            f"{point.cost_ns:.0f}",
            f"{point.cost_ns / first:.2f}x",
        )
    return table


def _codec_table(run: Run) -> Table | None:
    codec = run.extras.codec
    if codec is None:
        return None
    table = Table(title="codec alone: ns there and back", title_justify="left", title_style="bold")
    table.add_column("item")
    for name in ("pickle", "codec", "ratio", "bytes pickled", "bytes encoded"):
        table.add_column(name, justify="right")
    for point in codec.points:
        table.add_row(
            point.title,
            f"{median(point.pickle_ns):.0f}",
            f"{median(point.native_ns):.0f}",
            f"{point.ratio:.2f}x",
            f"{point.pickle_bytes:,}",
            f"{point.native_bytes:,}" if point.native_bytes else "declined",
        )
    table.add_section()
    table.add_row("geometric mean", "", "", f"{codec.ratio:.2f}x")
    return table


def print_run(console: Console, run: Run) -> None:
    """All tables; what was left out or failed is said, not passed over."""
    for _, group in groupby(run.outcomes.values(), key=_table_of):
        console.print(_topology_table(list(group)))
    if run.outcomes:
        console.print(
            "Medians of the repeats, the worst beside them; spread: interquartile range over median; ratios: above 1\n"
            "is faster; to mp: to multiprocessing.Queue;\n"
            "to best: against the fastest rival that also moves one item a call (batches: against all).\n"
            "CPU/item: of all processes; faults: page faults an item. !: failed later.\n"
            "+: the producers had a head start of over 10% of the time.\n"
            "memcpy: what one copy of each item into warm shared memory, and nothing else, would reach.",
            style="dim",
            highlight=False,
        )
    for table in (_codec_table(run), _backlog_table(run)):
        if table is not None:
            console.print(table)
    if run.verdicts:
        console.print(_bars_table(run))
    for failure in run.failures:
        console.print(f"FAILED: {failure}", style="red", highlight=False)
    if run.unmeasured:
        console.print(f"not measured, out of time (--budget): {', '.join(run.unmeasured)}", style="yellow")
    if run.others > NOISY:
        busiest = max(run.outcomes.values(), key=lambda outcome: outcome.others, default=None)
        where = f"; most during {busiest.workload.key}: {busiest.others:.1f}" if busiest else ""
        console.print(
            f"warning: other programs used {run.others:.2f} cores{where}; repeat on a quiet machine",
            style="yellow",
            highlight=False,
        )
    console.print(
        f"{run.elapsed_seconds:.0f} s; load {run.machine.load_before:.2f} before, {run.load_after:.2f} after",
        highlight=False,
    )
