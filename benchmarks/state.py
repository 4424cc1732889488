"""What locks and shared numbers cost, beside the standard library's.

Nanoseconds for each operation, nobody in the way, and the ratio to the rival: medians of rounds taken in turn.
A manager's value is a round trip to its process, and is measured with fewer turns.

    .venv/bin/python benchmarks/state.py [--json]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
from collections.abc import Callable
from itertools import repeat
from time import perf_counter_ns
from typing import Any

import conveyor

ROUNDS, COUNT = 9, 100_000
# What must be reached: the work, conveyor, the rival, and how much of the rival's time may be taken at most.
BARS = (
    ("with lock:", "conveyor.Lock", "multiprocessing.Lock", 1 / 3),
    ("acquire(), release()", "conveyor.Lock", "multiprocessing.Lock", 1 / 3),
    ("add 1", "conveyor.SharedValue", "multiprocessing.Value", 1 / 5),
)


def block(lock: Any, count: int) -> None:
    for _ in repeat(None, count):
        with lock:
            pass


def calls(lock: Any, count: int) -> None:
    acquire, release = lock.acquire, lock.release
    for _ in repeat(None, count):
        acquire()
        release()


def add(value: Any, count: int) -> None:
    add = value.add
    for _ in repeat(None, count):
        add(1)


def add_locked(value: Any, count: int) -> None:
    lock = value.get_lock()
    for _ in repeat(None, count):
        with lock:
            value.value += 1


def add_managed(value: Any, count: int) -> None:
    for _ in repeat(None, count):
        value.set(value.get() + 1)


def check_event(event: Any, count: int) -> None:
    is_set = event.is_set
    for _ in repeat(None, count):
        is_set()


def make(cls: Any, count: int) -> None:
    for _ in repeat(None, count):
        cls()


Case = tuple[str, str, Callable[[Any, int], None], Any, int]


def cases(manager: Any) -> list[Case]:
    """The work, who does it, how, with what, how often."""
    pairs = [
        ("with lock:", block, "Lock"),
        ("acquire(), release()", calls, "Lock"),
        ("with rlock:", block, "RLock"),
        ("with semaphore:", block, "Semaphore"),
        ("event.is_set()", check_event, "Event"),
    ]
    found: list[Case] = []
    for work, how, name in pairs:
        for module in (conveyor, multiprocessing):
            made = getattr(module, name)()
            found.append((work, f"{module.__name__}.{name}", how, made, COUNT))
    found.append(("add 1", "conveyor.SharedValue", add, conveyor.SharedValue("q"), COUNT))
    found.append(("add 1", "multiprocessing.Value", add_locked, multiprocessing.Value("q"), COUNT))
    found.append(("add 1", "Manager().Value, unlocked", add_managed, manager.Value("q", 0), COUNT // 500))
    found.append(("make one", "conveyor.Lock", make, conveyor.Lock, COUNT // 50))
    found.append(("make one", "multiprocessing.Lock", make, multiprocessing.Lock, COUNT // 50))
    return found


def measure(all_cases: list[Case]) -> list[dict[str, Any]]:
    """Nanoseconds for each case."""
    times: list[list[float]] = [[] for _ in all_cases]
    for _ in range(ROUNDS):
        for spent, (_, _, how, what, count) in zip(times, all_cases, strict=True):
            began = perf_counter_ns()
            how(what, count)
            spent.append((perf_counter_ns() - began) / count)
    rows: list[dict[str, Any]] = []
    for spent, (work, who, _, _, _) in zip(times, all_cases, strict=True):
        ours = next((row["nanoseconds"] for row in rows if row["work"] == work), None)
        middle = statistics.median(spent)
        ratio = None if ours is None else round(middle / ours, 2)
        rows.append({"work": work, "who": who, "nanoseconds": round(middle, 1), "times_conveyor": ratio})
    return rows


def verdicts(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Whether each bar is reached."""
    taken = {(row["work"], row["who"]): row["nanoseconds"] for row in rows}
    return [
        {"work": work, "share": round(share, 3), "at_most": round(most, 3), "met": share <= most}
        for work, ours, theirs, most in BARS
        for share in [taken[work, ours] / taken[work, theirs]]
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print figures and bars as JSON")
    options = parser.parse_args()
    with multiprocessing.Manager() as manager:
        rows = measure(cases(manager))
    bars = verdicts(rows)
    if options.json:
        print(json.dumps({"rows": rows, "bars": bars}))
        return
    for row in rows:
        ratio = "" if row["times_conveyor"] is None else f"{row['times_conveyor']:8.2f} x conveyor's"
        print(f"{row['work']:<22}{row['who']:<28}{row['nanoseconds']:>12,.1f} ns{ratio}")
    for bar in bars:
        said = "met" if bar["met"] else "NOT met"
        print(f"{bar['work']}: {bar['share']:.2f} of the rival's time, at most {bar['at_most']:.2f}: {said}")


if __name__ == "__main__":
    main()
