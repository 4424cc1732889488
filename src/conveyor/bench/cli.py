"""``conveyor bench``: options, the order of the work, exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic
from typing import Annotated

from cyclopts import App, Parameter
from cyclopts.config import Env
from rich.console import Console

from conveyor.bench.backlog import SIZES, measure_backlog
from conveyor.bench.bars import BARS, judge
from conveyor.bench.busy import Bystander
from conveyor.bench.document import as_json
from conveyor.bench.idle import measure_idle
from conveyor.bench.machine import describe
from conveyor.bench.measurement import MeasurementFailed, Workload
from conveyor.bench.payloads import PAYLOADS
from conveyor.bench.plot import draw
from conveyor.bench.report import print_machine, print_run
from conveyor.bench.rivals import RIVALS, Rival
from conveyor.bench.run import Run
from conveyor.bench.runner import Runner, seconds_for
from conveyor.bench.topologies import TOPOLOGIES

__all__ = ["main"]

_OK, _FAILED, _USAGE, _INTERRUPTED = 0, 1, 2, 130
_BAR_WEIGHT = 2.0
"""The workloads of the bars are measured so many times as long as the others."""

_EXTRA_SECONDS = {False: 85.0, True: 14.0}
"""What the backlog and the idle consumers take, in seconds; by `quick`."""


@dataclass(frozen=True)
class _Settings:
    """What to do, once the options are known to make sense."""

    workloads: dict[str, Workload]
    bars: bool
    quick: bool
    rivals: tuple[str, ...]
    repeats: int
    seconds: float | None
    items: int | None
    budget: float
    maxsize: int | None
    hot: bool


class _UsageError(Exception):
    """An option's value makes no sense."""


def _chosen(kind: str, known: Iterable[str], asked: list[str] | None) -> list[str]:
    """The names asked for, in the known order; commas separate as repeated options do."""
    names = list(known)
    if not asked:
        return names
    wanted = [part.strip() for text in asked for part in text.split(",") if part.strip()]
    for name in wanted:
        if name not in names:
            raise _UsageError(f"no {kind} {name!r}; there are: {', '.join(names)}")
    return [name for name in names if name in wanted]


def _workloads(topologies: Iterable[str], payloads: Iterable[str]) -> dict[str, Workload]:
    payloads = list(payloads)
    grid = [
        Workload(TOPOLOGIES[topology], PAYLOADS[payload]) for topology in topologies for payload in payloads
    ]
    return {workload.key: workload for workload in grid}


def _quick_workloads() -> dict[str, Workload]:
    """Every payload at 1:1, and the small tuple in every topology."""
    return _workloads(["1:1"], PAYLOADS) | _workloads(TOPOLOGIES, ["tuple"])


def _load_rivals(names: Iterable[str]) -> tuple[list[Rival], dict[str, str]]:
    """The rivals that can be imported, and for the others why not."""
    loaded: list[Rival] = []
    skipped: dict[str, str] = {}
    for name in names:
        try:
            RIVALS[name].load()
            loaded.append(RIVALS[name])
        except ImportError as error:
            hint = "" if RIVALS[name].ours else " (pip install 'conveyor[bench]')"
            skipped[name] = f"{error}{hint}"
    return loaded, skipped


def _say(text: str) -> None:
    """What is going on, on one line of a terminal that the next one overwrites; else nothing."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text[:100]}", end="", file=sys.stderr, flush=True)


def _measure(settings: _Settings, rivals: list[Rival], run: Run, began: float) -> None:
    """Fill `run`: the workloads of the bars first, then backlog and idle, then the rest."""
    bar_keys = {bar.key for bar in BARS} if settings.bars else set[str]()
    first = [workload for key, workload in settings.workloads.items() if key in bar_keys]
    others = [workload for key, workload in settings.workloads.items() if key not in bar_keys]
    extras = settings.bars and any(rival.name == "conveyor" for rival in rivals)

    def rows(workloads: list[Workload]) -> int:
        return sum(workload.suits(rival) for workload in workloads for rival in rivals)

    measurements = settings.repeats * (_BAR_WEIGHT * rows(first) + rows(others))
    free = settings.budget - (_EXTRA_SECONDS[settings.quick] if extras else 0.0)
    seconds = settings.seconds or seconds_for(free, measurements, rows(first) + rows(others))
    runner = Runner(rivals, settings.repeats, _say, settings.maxsize, settings.hot, began + settings.budget)
    for workload in first:
        longer = settings.seconds or min(1.0, seconds * _BAR_WEIGHT)
        run.outcomes[workload.key] = runner.run(workload, longer, settings.items)
    backlog_gone = idle_gone = "conveyor was not measured"
    if extras:
        try:
            largest = 1_000_000 if settings.quick else SIZES[-1]
            rounds = min(3, settings.repeats) if settings.quick else settings.repeats
            run.backlog = measure_backlog(_say, largest=largest, rounds=rounds)
        except MeasurementFailed as error:
            backlog_gone = f"failed: {error}"
        try:
            run.idle = measure_idle(_say, seconds=3.0 if settings.quick else 10.0)
        except MeasurementFailed as error:
            idle_gone = f"failed: {error}"
    if settings.bars:
        run.verdicts = judge(run.outcomes, run.backlog or backlog_gone, run.idle or idle_gone)
    for workload in others:
        if monotonic() > runner.deadline:
            run.unmeasured.append(workload.key)
        else:
            run.outcomes[workload.key] = runner.run(workload, seconds, settings.items)
    in_order = [key for key in _workloads(TOPOLOGIES, PAYLOADS) if key in run.outcomes]
    run.outcomes = {key: run.outcomes[key] for key in in_order}


def _perform(settings: _Settings, json: str | None, plot: Path | None, strict: bool) -> int:
    """Measure, print, write; the exit code."""
    began = monotonic()
    bystander = Bystander()
    console = Console(stderr=json == "-", soft_wrap=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = 120
    rivals, skipped = _load_rivals(settings.rivals)
    options: dict[str, object] = {**asdict(settings), "workloads": list(settings.workloads)}
    distributions = dict.fromkeys(rival.distribution for rival in RIVALS.values() if rival.distribution)
    run = Run(describe(list(distributions)), options, skipped)
    print_machine(console, run.machine, skipped)
    code = _OK
    try:
        _measure(settings, rivals, run, began)
    except KeyboardInterrupt:
        code = _INTERRUPTED
    run.elapsed_seconds = monotonic() - began
    run.load_after = os.getloadavg()[0]
    run.others = bystander.cores()
    _say("")
    print_run(console, run)
    if code == _INTERRUPTED:
        console.print("interrupted: the figures above are what was measured until then", style="yellow")
    if json == "-":
        sys.stdout.write(as_json(run))
    elif json:
        Path(json).write_text(as_json(run))
    if plot is not None:
        try:
            draw(run, plot)
        except ImportError as error:
            console.print(f"no chart: {error} (pip install 'conveyor[bench]')", style="red")
            code = code or _USAGE
    failed = any(verdict.measured.startswith("failed") for verdict in run.verdicts) or run.conveyor_failed
    if failed or (strict and any(verdict.met is not True for verdict in run.verdicts)):
        code = code or _FAILED
    return code


def _bench(
    *,
    bars: bool = False,
    quick: bool = False,
    topology: list[str] | None = None,
    payload: list[str] | None = None,
    rival: list[str] | None = None,
    repeats: int = 5,
    seconds: float | None = None,
    items: int | None = None,
    budget: float | None = None,
    maxsize: int | None = None,
    hot: bool = False,
    json: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    plot: Path | None = None,
    strict: bool = False,
) -> int:
    """Measure conveyor and its rivals side by side, in one run.

    Examples:

        conveyor bench                          all of it, under 10 minutes
        conveyor bench --quick                  a first look, under 90 seconds
        conveyor bench --bars                   only what the project promises: met or not
        conveyor bench --topology 4:4 --payload tuple,bytes1m --rival conveyor,multiprocessing
        conveyor bench --json out.json --plot out.svg

    Exit codes: 0 measured, 1 conveyor failed (or, with --strict, a bar was not met), 2 usage.

    Parameters
    ----------
    bars
        The promises: each with what is required, what was measured, met or not. They are part of a
        run without selection; alone, this leaves out everything else.
    quick
        Fewer repeats and workloads, shorter measurements, a backlog of one million only.
    topology
        Only these: 1:1 (producers:consumers), 1:4, 4:1, 4:4, ping-pong.
    payload
        Only these: int, tuple, bytes40, dict1k, bytes64k, bytes1m.
    rival
        Only these: conveyor, conveyor-many, multiprocessing, simplequeue, faster-fifo,
        faster-fifo-many, cloudtoid, pyzmq.
    repeats
        Rounds over the rivals; the figures are medians of them. 3 with --quick unless given.
    seconds
        How long one measurement lasts; by default what fits the budget, 0.1 to 1 s.
    items
        Exactly so many items a measurement, instead of as many as fill its time.
    budget
        Seconds for the whole run: 540, or 75 with --quick.
    maxsize
        Bound on the items in flight, for every queue that takes one. Default: unbounded for small
        items, 16 MiB in all for those of 64 KiB and 1 MiB.
    hot
        Send one and the same item instead of distinct ones: it stays in the cache, which flatters
        large items. Not how the bars are to be judged; for seeing how much the cache does.
    json
        Write the results to this file; - for stdout, the tables then go to stderr.
    plot
        Draw a chart into this file: .png, .svg or .pdf.
    strict
        Exit with 1 if a bar is not met.
    """
    repeats = 3 if quick and repeats == 5 else repeats
    for name, value in (("repeats", repeats), ("seconds", seconds), ("items", items), ("budget", budget)):
        if value is not None and value <= 0:
            raise _UsageError(f"--{name} must be more than 0, not {value}")
    if maxsize is not None and maxsize < 0:
        raise _UsageError(f"--maxsize must be 0 (unbounded) or more, not {maxsize}")
    selected = bool(topology or payload or rival)
    if topology or payload or (rival and not bars):
        chosen = _workloads(_chosen("topology", TOPOLOGIES, topology), _chosen("payload", PAYLOADS, payload))
    elif bars:
        chosen = {}
    else:
        chosen = _quick_workloads() if quick else _workloads(TOPOLOGIES, PAYLOADS)
    with_bars = bars or not selected
    if with_bars:
        chosen |= {bar.key: Workload(TOPOLOGIES[bar.topology], PAYLOADS[bar.payload]) for bar in BARS}
    settings = _Settings(
        workloads=chosen,
        bars=with_bars,
        quick=quick,
        rivals=tuple(_chosen("rival", RIVALS, rival)),
        repeats=repeats,
        seconds=seconds,
        items=items,
        budget=budget or (75.0 if quick else 540.0),
        maxsize=maxsize,
        hot=hot,
    )
    return _perform(settings, json, plot, strict)


def _app() -> App:
    app = App(
        name="conveyor bench",
        help_format="plaintext",
        version_flags=[],
        config=Env("CONVEYOR_BENCH_"),
        default_parameter=Parameter(negative=""),
    )
    app.default(_bench)
    return app


def main(argv: list[str]) -> int:
    """Run the verb with the words that follow it; return the exit code."""
    try:
        command, bound, _ = _app().parse_args(argv)
        result = command(*bound.args, **bound.kwargs)
    except _UsageError as error:
        print(f"conveyor bench: {error}", file=sys.stderr)
        return _USAGE
    except SystemExit as stop:  # cyclopts has already said what is wrong
        return _USAGE if stop.code else _OK
    return result if isinstance(result, int) else _OK
