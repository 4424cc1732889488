"""conveyor.ProcessPoolExecutor and the joblib backend beside the standard library's executor, loky, mpire and pebble.

    .venv/bin/python benchmarks/pools.py [--quick] [--json] [--only WORK,...] [--rounds N]

Every rival makes its pool of two workers, has the work done, and ends the pool, within the time that is measured; in
each round every rival has its turn, so that noise hits all alike. Medians and the slowest round are printed. What is
not installed is left out. Each bar is printed with what was measured, met or not; exit code 0 either way, 1 if a
result was wrong.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any

import numpy
from rounds import Run, ratio

import conveyor

WORKERS = 2


def same(item: Any) -> Any:
    return item


def expect(found: int, wanted: int) -> None:
    if found != wanted:
        sys.exit(f"a result is wrong: {found:,} results, {wanted:,} expected")


def timed(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


# -- executors -------------------------------------------------------------------------------------------


def loky_executor() -> Any:
    import loky

    return loky.ProcessPoolExecutor(WORKERS)


EXECUTORS: dict[str, Callable[[], Any]] = {
    "conveyor": lambda: conveyor.ProcessPoolExecutor(WORKERS),
    "concurrent.futures": lambda: concurrent.futures.ProcessPoolExecutor(WORKERS),
    "loky": loky_executor,
}


def by_map(make: Callable[[], Any], count: int) -> None:
    with make() as executor:
        expect(sum(1 for _ in executor.map(same, range(count))), count)


def by_submit(make: Callable[[], Any], count: int) -> None:
    with make() as executor:
        futures = [executor.submit(same, number) for number in range(count)]
        expect(sum(1 for _ in concurrent.futures.as_completed(futures)), count)


def arrays(make: Callable[[], Any], count: int) -> None:
    array = numpy.ones(1 << 20)  # 8 MiB there, and back
    with make() as executor:
        for result in executor.map(same, [array] * count):
            expect(len(result), len(array))


def lone(make: Callable[[], Any], count: int) -> float:
    times: list[float] = []
    with make() as executor:
        for number in range(count):
            times.append(timed(executor.submit(same, number).result))
    return statistics.median(times[count // 10 :])


def pebble_map(count: int) -> None:
    from pebble import ProcessPool

    with ProcessPool(WORKERS) as pool:
        expect(sum(1 for _ in pool.map(same, range(count)).result()), count)


def mpire_map(count: int) -> None:
    from mpire import WorkerPool

    with WorkerPool(n_jobs=WORKERS) as pool:
        expect(len(pool.map(same, range(count))), count)


# -- joblib ----------------------------------------------------------------------------------------------


def by_joblib(backend: str, items: Iterable[Any], count: int) -> None:
    import joblib

    conveyor_joblib()
    with joblib.parallel_config(backend=backend):
        results = joblib.Parallel(n_jobs=WORKERS)(joblib.delayed(same)(item) for item in items)
    expect(len(results), count)


def conveyor_joblib() -> None:
    import conveyor.joblib

    conveyor.joblib.register()


def cold_joblib(backend: str, items: Iterable[Any], count: int) -> None:
    """With workers that are started for it: both backends keep them for the next call."""
    if backend == "loky":
        from joblib.externals.loky import get_reusable_executor

        get_reusable_executor().shutdown(wait=True, kill_workers=True)
    else:
        import conveyor.joblib

        conveyor.joblib.shutdown()
    by_joblib(backend, items, count)


# -- the works ---------------------------------------------------------------------------------------------


def spread(run: Run, samples: dict[str, list[float]]) -> None:
    for name, values in samples.items():
        if values:
            run.say(
                f"     {name:<24}{1e3 * statistics.median(values):10.1f} ms, slowest {1e3 * max(values):10.1f} ms"
            )


def judge(run: Run, work: str, samples: dict[str, list[float]], rival: str, wanted: float) -> None:
    if samples.get(rival):
        found = ratio(samples[rival], samples["conveyor"])
        run.judge(f"{work}, against {rival}", f">= {wanted:g}x", f"{found:.1f}x", found >= wanted)


def do_map(run: Run) -> None:
    count = 2_000 if run.quick else 20_000
    rivals = {name: lambda make=make: timed(lambda: by_map(make, count)) for name, make in EXECUTORS.items()}
    rivals["mpire"] = lambda: timed(lambda: mpire_map(count))
    rivals["pebble"] = lambda: timed(lambda: pebble_map(count))
    samples = run.measure(f"map: {count:,} empty tasks", "s", rivals)
    spread(run, samples)
    judge(run, "map", samples, "concurrent.futures", 20)
    judge(run, "map", samples, "loky", 5)


def do_submit(run: Run) -> None:
    count = 2_000 if run.quick else 20_000
    rivals = {
        name: lambda make=make: timed(lambda: by_submit(make, count)) for name, make in EXECUTORS.items()
    }
    samples = run.measure(f"submit and as_completed: {count:,} empty tasks", "s", rivals)
    spread(run, samples)
    judge(run, "submit", samples, "concurrent.futures", 5)
    judge(run, "submit", samples, "loky", 5)


def do_lone(run: Run) -> None:
    count = 200 if run.quick else 2_000
    rivals = {name: lambda make=make: lone(make, count) for name, make in EXECUTORS.items()}
    spread(run, run.measure("one task at a time, there and back", "s", rivals))


def do_arrays(run: Run) -> None:
    count = 10 if run.quick else 50
    rivals = {name: lambda make=make: timed(lambda: arrays(make, count)) for name, make in EXECUTORS.items()}
    spread(run, run.measure(f"{count} arrays of 8 MiB, there and back", "s", rivals))


def do_joblib(run: Run) -> None:
    count = 2_000 if run.quick else 20_000
    for how, work in (("warm", by_joblib), ("cold", cold_joblib)):
        rivals = {
            name: lambda name=name, work=work: timed(lambda: work(name, range(count), count))
            for name in ("conveyor", "loky")
        }
        for rival in rivals.values():
            rival()
        samples = run.measure(f"joblib, {how} workers: {count:,} empty calls", "s", rivals)
        spread(run, samples)
        judge(run, f"joblib, {how} workers", samples, "loky", 2)


WORKS = {"map": do_map, "submit": do_submit, "lone": do_lone, "arrays": do_arrays, "joblib": do_joblib}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="with fewer tasks")
    parser.add_argument("--json", action="store_true", help="figures and bars as JSON")
    parser.add_argument("--only", default=",".join(WORKS), help=f"some of: {', '.join(WORKS)}")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    run = Run(1 if options.quick else options.rounds, options.quick, options.json)
    for name in options.only.split(","):
        WORKS[name](run)
    if options.json:
        print(json.dumps({"figures": run.figures, "bars": [asdict(bar) for bar in run.bars]}, indent=2))


if __name__ == "__main__":
    main()
