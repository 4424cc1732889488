"""Pipelines beside Pool, ProcessPoolExecutor, mpire, joblib and pypeln: the same work, in one run, in turn.

    .venv/bin/python benchmarks/pipelines.py [--quick] [--json] [--only WORK,...]

Medians of several rounds; in each round every rival has its turn, so that noise hits all alike. Every
rival does what its manual shows first, with two workers. What is not installed is left out. Each bar is printed
with what was measured, met or not; exit code 0 either way, 1 if a result was wrong.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy
from rounds import Run, ratio

from conveyor import Pipeline, Queue

WORKERS = 2
ROUNDS = 5


def same(item: Any) -> Any:
    return item


def burn(_: Any) -> None:
    """A millisecond of one processor's time, by its own clock.

    Not so many turns of a loop: how quick these are depends on where in memory a process happens to have its objects,
    by up to 1.7 times.
    """
    end = time.thread_time_ns() + 1_000_000
    while time.thread_time_ns() < end:
        pass


def expect(found: int, wanted: int) -> None:
    if found != wanted:
        sys.exit(f"a result is wrong: {found:,} results, {wanted:,} expected")


# -- an empty function, items a second -------------------------------------------------------------------


def by_conveyor(count: int, ordered: bool = False) -> None:
    results = Pipeline(range(count)).map(same, workers=WORKERS, ordered=ordered).stream()
    expect(sum(1 for _ in results), count)


def by_pool(count: int) -> None:
    with multiprocessing.Pool(WORKERS) as pool:
        expect(sum(1 for _ in pool.imap_unordered(same, range(count))), count)


def by_executor(count: int) -> None:
    with ProcessPoolExecutor(WORKERS) as pool:
        expect(sum(1 for _ in pool.map(same, range(count))), count)


def by_mpire(count: int) -> None:
    from mpire import WorkerPool

    with WorkerPool(n_jobs=WORKERS) as pool:
        expect(len(pool.map(same, range(count))), count)


def by_joblib(count: int) -> None:
    from joblib import Parallel, delayed

    expect(len(Parallel(n_jobs=WORKERS)(delayed(same)(item) for item in range(count))), count)


def by_pypeln(count: int) -> None:
    import pypeln

    expect(sum(1 for _ in pypeln.process.map(same, range(count), workers=WORKERS)), count)


def rate(work: Callable[[int], None], count: int) -> float:
    start = time.perf_counter()
    work(count)
    return count / (time.perf_counter() - start)


# -- one item at a time: seconds there and back -----------------------------------------------------------


def lone_conveyor(count: int = 2000) -> float:
    queue: Queue[int] = Queue()
    results = Pipeline(queue).map(same, workers=1).stream()
    times = []
    for number in range(count):
        start = time.perf_counter()
        queue.put(number)
        next(results)
        times.append(time.perf_counter() - start)
    queue.shutdown()
    expect(len(list(results)), 0)
    return statistics.median(times[count // 10 :])


def lone_pool(count: int = 2000) -> float:
    times = []
    with multiprocessing.Pool(1) as pool:
        for number in range(count):
            start = time.perf_counter()
            pool.apply(same, (number,))
            times.append(time.perf_counter() - start)
    return statistics.median(times[count // 10 :])


# -- a millisecond an item: share of what two bare processes do ---------------------------------------------


def _burn_many(count: int) -> None:
    for _ in range(count):
        burn(None)


def busy_bare(count: int) -> float:
    processes = [multiprocessing.Process(target=_burn_many, args=(count // WORKERS,)) for _ in range(WORKERS)]
    start = time.perf_counter()
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return time.perf_counter() - start


def busy_conveyor(count: int) -> float:
    start = time.perf_counter()
    expect(Pipeline(range(count)).map(burn, workers=WORKERS).run().results, count)
    return time.perf_counter() - start


def busy_pool(count: int) -> float:
    start = time.perf_counter()
    with multiprocessing.Pool(WORKERS) as pool:
        expect(sum(1 for _ in pool.imap_unordered(burn, range(count))), count)
    return time.perf_counter() - start


# -- arrays of 8 MiB through three stages, a second ------------------------------------------------------------


def _arrays(count: int) -> Iterator[Any]:
    for number in range(count):
        array = numpy.empty(8 * 2**20, "u1")
        array[::4096] = number % 256
        yield array


def arrays_conveyor(count: int) -> float:
    """Each stage has a worker of its own, so that each array travels four times."""
    stages = Pipeline(lambda: _arrays(count))
    for _ in range(3):
        stages = stages.map(same, workers=1)
    start = time.perf_counter()
    expect(stages.run().results, count)
    return count / (time.perf_counter() - start)


def arrays_joined(count: int) -> float:
    """Said as briefly as can be: the three are then done by the same workers."""
    stages = Pipeline(lambda: _arrays(count)).map(same).map(same).map(same)
    start = time.perf_counter()
    expect(stages.run(jobs=WORKERS).results, count)
    return count / (time.perf_counter() - start)


def arrays_pool(count: int) -> float:
    make = multiprocessing.Pool
    start = time.perf_counter()
    with make(1) as one, make(1) as two, make(1) as three:
        stages = three.imap_unordered(
            same, two.imap_unordered(same, one.imap_unordered(same, _arrays(count)))
        )
        expect(sum(1 for _ in stages), count)
    return count / (time.perf_counter() - start)


# -- from the call to the first result --------------------------------------------------------------------------


def first_conveyor(method: Any) -> float:
    start = time.perf_counter()
    results: Any = Pipeline(range(10)).map(same, workers=WORKERS).stream(start_method=method)
    next(results)
    taken = time.perf_counter() - start
    results.close()
    return taken


def first_pool(method: Any) -> float:
    start = time.perf_counter()
    with multiprocessing.get_context(method).Pool(WORKERS) as pool:
        next(pool.imap_unordered(same, range(10)))
        return time.perf_counter() - start


# -- few and many items -----------------------------------------------------------------------------------------


def after_the_first(count: int) -> float:
    """Seconds from the first result to the last: what comes before is the start of the workers."""
    results: Any = Pipeline(range(count)).map(same, workers=WORKERS).stream()
    next(results)
    start = time.perf_counter()
    for _ in range(count - 1):
        next(results)
    taken = time.perf_counter() - start
    results.close()
    return taken


def per_item(count: int) -> float:
    """Seconds an item; what is over in milliseconds is done several times."""
    return statistics.median(after_the_first(count) for _ in range(15 if count <= 10**4 else 1)) / count


def memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


# -- the run ----------------------------------------------------------------------------------------------------


def empty_function(run: Run) -> None:
    part = 10 if run.quick else 1
    many, some, few = 200_000 // part, 20_000 // part, 8_000 // part
    found = run.measure(
        "an empty function, items a second",
        "/s",
        {
            "conveyor": lambda: rate(by_conveyor, many),
            "conveyor, ordered": lambda: rate(lambda count: by_conveyor(count, True), many),
            "Pool.imap_unordered": lambda: rate(by_pool, many // 4),
            "ProcessPoolExecutor.map": lambda: rate(by_executor, some),
            "mpire.map": lambda: rate(by_mpire, many),
            "joblib": lambda: rate(by_joblib, many),
            "pypeln": lambda: rate(by_pypeln, few),
        },
    )
    ours = found["conveyor"]
    for rival, least in (
        ("Pool.imap_unordered", 8),
        ("ProcessPoolExecutor.map", 40),
        ("mpire.map", 2),
        ("joblib", 2),
        ("pypeln", 50),
    ):
        if found[rival]:
            times = ratio(ours, found[rival])
            run.judge(f"to {rival}", f">= {least}x", f"{times:.1f}x", times >= least)
    share = ratio(found["conveyor, ordered"], ours)
    run.judge("ordered to unordered", ">= 80%", f"{share:.0%}", share >= 0.8)


def lone_item(run: Run) -> None:
    found = run.measure(
        "a lone item through one stage, there and back",
        "s",
        {"conveyor": lone_conveyor, "Pool.apply": lone_pool},
    )
    share = ratio(found["conveyor"], found["Pool.apply"])
    run.judge("to Pool", "<= 0.10x", f"{share:.2f}x", share <= 0.1)


def busy(run: Run) -> None:
    count = 600 if run.quick else 4000
    found = run.measure(
        f"{count:,} items of 1 ms of processor time, seconds",
        "s",
        {
            "two bare processes": lambda: busy_bare(count),
            "conveyor": lambda: busy_conveyor(count),
            "Pool.imap_unordered": lambda: busy_pool(count),
        },
    )
    share = ratio(found["two bare processes"], found["conveyor"])
    run.judge("of the ideal", ">= 95%", f"{share:.1%}", share >= 0.95)


def arrays(run: Run) -> None:
    count = 20 if run.quick else 60
    found = run.measure(
        "arrays of 8 MiB through three stages",
        "/s",
        {
            "conveyor, 3 workers": lambda: arrays_conveyor(count),
            "conveyor, joined stages": lambda: arrays_joined(count),
            "three Pools": lambda: arrays_pool(count),
        },
    )
    times = ratio(found["conveyor, 3 workers"], found["three Pools"])
    run.judge("to Pool, a worker for each stage", ">= 10x", f"{times:.1f}x", times >= 10)
    times = ratio(found["conveyor, joined stages"], found["three Pools"])
    run.judge("to Pool, stages joined", ">= 10x", f"{times:.1f}x", times >= 10)


def first_result(run: Run) -> None:
    for method in ("fork", "spawn"):
        found = run.measure(
            f"from the call to the first result, {method}",
            "s",
            {
                "conveyor": lambda method=method: first_conveyor(method),  # type: ignore[misc]
                "Pool": lambda method=method: first_pool(method),  # type: ignore[misc]
            },
        )
        share = ratio(found["conveyor"], found["Pool"])
        run.judge(f"to Pool, {method}", "<= 1.0x", f"{share:.2f}x", share <= 1.0)


def few_and_many(run: Run) -> None:
    counts = [10**3, 10**4, 10**5, 10**6] + ([] if run.quick else [10**7])
    before = memory()
    most = run.rounds
    run.rounds = 1 if most < 5 else 3
    found = run.measure(
        "an item, by how many there are",
        "s",
        {f"{count:,}": lambda count=count: per_item(count) for count in counts},  # type: ignore[misc]
    )
    run.rounds = most
    costs = {int(name.replace(",", "")): statistics.median(values) for name, values in found.items()}
    spread = max(costs.values()) / min(costs.values())
    run.judge("dearest to cheapest", "<= 1.2x", f"{spread:.2f}x", spread <= 1.2)
    # The same without what is paid once, for the first items: (T(10 n) - T(n)) / 9 n.
    steps = [(b * costs[b] - a * costs[a]) / (b - a) for a, b in pairwise(counts)]
    spread = max(steps) / min(steps)
    run.say("  each further item: " + ", ".join(f"{step * 1e6:.2f}" for step in steps) + " us")
    run.judge("each further item, dearest to cheapest", "<= 1.2x", f"{spread:.2f}x", spread <= 1.2)
    grown = (memory() - before) / 2**20
    run.judge("memory of this process grew", "<= 16 MiB", f"{grown:.1f} MiB", grown <= 16)


WORKS = {
    "empty": empty_function,
    "lone": lone_item,
    "busy": busy,
    "arrays": arrays,
    "first": first_result,
    "many": few_and_many,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer items and rounds: a first look")
    parser.add_argument("--json", action="store_true", help="print figures and bars as JSON")
    parser.add_argument("--only", default=",".join(WORKS), help=f"some of {','.join(WORKS)}")
    options = parser.parse_args()
    wanted = options.only.split(",")
    if unknown := [name for name in wanted if name not in WORKS]:
        parser.error(f"--only has {unknown[0]!r}; it must be some of {', '.join(WORKS)}")
    run = Run(2 if options.quick else ROUNDS, options.quick, options.json)
    for name in wanted:
        WORKS[name](run)
    load = os.getloadavg()[0]
    if options.json:
        bars = [asdict(bar) for bar in run.bars]
        print(json.dumps({"figures": run.figures, "bars": bars, "load": load}, indent=2))
    else:
        met = sum(bar.met for bar in run.bars)
        model = next(
            (
                line.partition(":")[2].strip()
                for line in Path("/proc/cpuinfo").read_text().splitlines()
                if "model name" in line
            ),
            "unknown processor",
        )
        run.say(f"\n{met} of {len(run.bars)} bars met; {model}, {os.cpu_count()} cores, load {load:.2f}")


if __name__ == "__main__":
    main()
