"""``conveyor bench``: options, the order of the work, exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from dataclasses import asdict
from itertools import product
from pathlib import Path
from time import monotonic
from typing import Annotated

from cyclopts import App, Parameter
from cyclopts.config import Env
from rich.console import Console

from conveyor.bench.bars import BARS
from conveyor.bench.busy import Bystander
from conveyor.bench.document import as_json
from conveyor.bench.machine import describe
from conveyor.bench.measurement import Workload
from conveyor.bench.payloads import PAYLOADS
from conveyor.bench.plot import draw
from conveyor.bench.read_document import read_document
from conveyor.bench.report import print_machine, print_run
from conveyor.bench.rivals import RIVALS, Rival
from conveyor.bench.run import Run
from conveyor.bench.session import measure_run
from conveyor.bench.settings import Settings
from conveyor.bench.topologies import TOPOLOGIES

__all__ = ["main"]

_HINT = " (pip install 'conveyor[bench]')"
_OK, _FAILED, _USAGE, _INTERRUPTED = 0, 1, 2, 130


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


def _bounds(asked: list[str] | None) -> list[int | None]:
    """The bounds asked for; None is each payload's own."""
    words = [part.strip() for text in asked or [] for part in text.split(",") if part.strip()]
    if wrong := next((word for word in words if not word.isdecimal()), None):
        raise _UsageError(f"--maxsize must be 0 (unbounded) or more, not {wrong}")
    return [int(word) for word in words] or [None]


def _workloads(
    topologies: Iterable[str],
    payloads: Iterable[str],
    bounds: Iterable[int | None] = (None,),
    burners: int = 0,
) -> dict[str, Workload]:
    grid = [
        Workload(TOPOLOGIES[topology], PAYLOADS[payload], maxsize, burners)
        for topology, payload, maxsize in product(topologies, payloads, bounds)
    ]
    return {workload.key: workload for workload in grid}


def _usual_workloads() -> dict[str, Workload]:
    """Each payload where it says most."""
    everything = _workloads(TOPOLOGIES, PAYLOADS)
    return {
        key: workload
        for key, workload in everything.items()
        if workload.topology.name in workload.payload.topologies
    }


def _quick_workloads() -> dict[str, Workload]:
    """Every payload at 1:1, and the small tuple in every topology."""
    return _workloads(["1:1"], PAYLOADS) | _workloads(TOPOLOGIES, ["tuple"])


def _load_rivals(names: Iterable[str]) -> tuple[list[Rival], dict[str, str]]:
    """The rivals that can be imported, and for the others why not."""
    loaded: list[Rival] = []
    skipped: dict[str, str] = {}
    for name in names:
        rival = RIVALS[name]
        try:
            rival.load()
            loaded.append(rival)
        except ImportError as error:
            skipped[name] = str(error) if rival.ours else f"{error}{_HINT}"
        except Exception as error:  # a rival that breaks when it is imported is skipped too
            if rival.ours:
                raise
            skipped[name] = f"{type(error).__name__}: {error}"
    return loaded, skipped


def _missing_payloads(workloads: Iterable[Workload]) -> dict[str, str]:
    """The payloads among them whose items cannot be made here, and why."""
    skipped: dict[str, str] = {}
    for payload in {workload.payload.name: workload.payload for workload in workloads}.values():
        try:
            payload.load()
        except ImportError as error:
            skipped[payload.name] = f"{error}{_HINT}"
    return skipped


def _say(text: str) -> None:
    """What is going on, on one line of a terminal that the next one overwrites; else nothing."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text[:100]}", end="", file=sys.stderr, flush=True)


def _perform(settings: Settings, json: str | None, plot: Path | None, strict: bool) -> int:
    """Measure, print, write; the exit code."""
    began = monotonic()
    bystander = Bystander()
    console = Console(stderr=json == "-", soft_wrap=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = 120
    rivals, skipped = _load_rivals(settings.rivals)
    skipped |= _missing_payloads(settings.workloads.values())
    options: dict[str, object] = {**asdict(settings), "workloads": list(settings.workloads)}
    distributions = dict.fromkeys(rival.distribution for rival in RIVALS.values() if rival.distribution)
    run = Run(describe(list(distributions)), options, skipped)
    print_machine(console, run.machine, skipped)
    code = _OK
    try:
        measure_run(settings, rivals, run, _say, began)
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


def _draw_again(results: Path, plot: Path | None) -> int:
    """The chart of an earlier run."""
    if plot is None:
        raise _UsageError("--read draws a chart: say where with --plot")
    try:
        draw(read_document(results), plot)
    except ImportError as error:
        raise _UsageError(f"no chart: {error}{_HINT}") from error
    except OSError as error:
        raise _UsageError(f"{error.filename}: {error.strerror}") from error
    except ValueError as error:
        raise _UsageError(f"--read must be a file that --json wrote, not {results}: {error}") from error
    return _OK


def _bench(
    *,
    bars: bool = False,
    quick: bool = False,
    topology: list[str] | None = None,
    payload: list[str] | None = None,
    rival: list[str] | None = None,
    repeats: int | None = None,
    seconds: float | None = None,
    items: int | None = None,
    budget: float | None = None,
    maxsize: list[str] | None = None,
    burners: int = 0,
    hot: bool = False,
    json: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    plot: Path | None = None,
    read: Path | None = None,
    strict: bool = False,
) -> int:
    """Measure conveyor and its rivals side by side, in one run.

    Examples:

        conveyor bench                          all of it, under 10 minutes
        conveyor bench --quick                  a first look, under 90 seconds
        conveyor bench --bars                   only what the project promises, medians of nine: met or not
        conveyor bench --topology 4:4 --payload tuple,bytes1m --rival conveyor,multiprocessing
        conveyor bench --payload tuple,bytes4k,numpy64k --topology 1:1 --maxsize 1,2,8,64 --burners 2
        conveyor bench --json out.json --plot out.svg
        conveyor bench --read out.json --plot out.svg           the chart again, from an earlier run

    Exit codes: 0 measured, 1 conveyor failed (or, with --strict, a bar was not met), 2 usage.

    Parameters
    ----------
    bars
        The promises: each with what is required, what was measured, met or not. They are part of a
        run without selection; alone, this leaves out everything else, also those rivals that no
        bar is about.
    quick
        Fewer repeats, workloads and rivals, shorter measurements, a backlog of one million only.
    topology
        Only these: 1:1 (producers:consumers), 1:4, 4:1, 4:4, ping-pong.
    payload
        Only these: int, tuple, bytes40, log, dataclass, dict1k, bytes4k, bytes64k, bytes1m, numpy64k, numpy8m. A run
        without selection leaves out combinations that say little; naming one side gets all of them.
    rival
        Only these: conveyor, conveyor-many, conveyor-unbounded (beside bounded queues),
        conveyor-allocate, multiprocessing, simplequeue, faster-fifo, faster-fifo-many, cloudtoid,
        pyzmq, dejaq, py-sharedmemory, subetha.
    repeats
        Rounds over the rivals; the figures are medians of them. 5 unless given, 9 with --bars
        alone, 3 with --quick.
    seconds
        How long one measurement lasts; by default what fits the budget, 0.1 to 1 s.
    items
        Exactly so many items a measurement, instead of as many as fill its time.
    budget
        Seconds for the whole run: 540, or 75 with --quick.
    maxsize
        Bounds on the items in flight, each a row of its own, for the queues that can have exactly that
        bound; 0 is none. Default: unbounded for small items, 16 MiB in all for those of 64 KiB and 1 MiB,
        four items of 8 MiB, and a ring's own size for the queues that have one.
    burners
        Processes that compute all the time beside what is measured: a busy machine.
    hot
        Send one and the same item instead of distinct ones: it stays in the cache, which flatters
        large items. Not how the bars are to be judged; for seeing how much the cache does.
    json
        Write the results to this file; - for stdout, the tables then go to stderr.
    plot
        Draw a chart into this file: .png, .svg or .pdf.
    read
        Measure nothing: draw the chart of the run whose results --json wrote to this file.
    strict
        Exit with 1 if a bar is not met.
    """
    if read is not None:
        return _draw_again(read, plot)
    selected = bool(topology or payload or rival or maxsize or burners)
    if repeats is None:
        repeats = 3 if quick else 9 if bars and not selected else 5
    for name, value in (("repeats", repeats), ("seconds", seconds), ("items", items), ("budget", budget)):
        if value is not None and value <= 0:
            raise _UsageError(f"--{name} must be more than 0, not {value}")
    if burners < 0:
        raise _UsageError(f"--burners must be 0 or more, not {burners}")
    bounds = _bounds(maxsize)
    if topology or payload or maxsize or burners or (rival and not bars):
        chosen = _workloads(
            _chosen("topology", TOPOLOGIES, topology), _chosen("payload", PAYLOADS, payload), bounds, burners
        )
    elif bars:
        chosen = {}
    else:
        chosen = _quick_workloads() if quick else _usual_workloads()
    with_bars = bars or not selected
    if with_bars:
        chosen |= {bar.key: bar.workload for bar in BARS if not quick or bar.maxsize is None}
    settings = Settings(
        workloads=chosen,
        bars=with_bars,
        quick=quick,
        thorough=selected or not (quick or bars),
        rivals=tuple(_chosen("rival", RIVALS, rival)),
        repeats=repeats,
        seconds=seconds,
        items=items,
        budget=budget or (75.0 if quick else 540.0),
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
