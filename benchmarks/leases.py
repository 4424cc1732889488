"""What a lease costs beside a plain get of the same item.

A queue is filled and then emptied one item at a time: by `get`, by `lease` and `acknowledge`, and by a `with`
block. Nanoseconds an item and the ratio to `get`, medians of several rounds taken in turn.

    .venv/bin/python benchmarks/leases.py [--json]
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Callable
from itertools import repeat
from time import perf_counter_ns
from typing import Any

from conveyor import Queue
from conveyor.bench.payloads import PAYLOADS

ROUNDS, COUNT = 7, 30_000


def by_get(queue: Any) -> None:
    get = queue.get
    for _ in repeat(None, COUNT):
        get()


def by_acknowledge(queue: Any) -> None:
    lease = queue.lease
    for _ in repeat(None, COUNT):
        lease().acknowledge()


def by_block(queue: Any) -> None:
    lease = queue.lease
    for _ in repeat(None, COUNT):
        with lease():
            pass


def by_many(queue: Any) -> None:
    for _ in repeat(None, COUNT // 100):
        with queue.lease_many(100):
            pass


WAYS: dict[str, Callable[[Any], None]] = {
    "get": by_get,
    "lease().acknowledge()": by_acknowledge,
    "with lease()": by_block,
    "with lease_many(100)": by_many,
}


def measure(item: Any) -> dict[str, float]:
    rounds: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(ROUNDS):
        for way, work in WAYS.items():
            queue: Queue[Any] = Queue()
            queue.put_many([item] * COUNT)
            start = perf_counter_ns()
            work(queue)
            rounds[way].append((perf_counter_ns() - start) / COUNT)
    return {way: statistics.median(times) for way, times in rounds.items()}


def main() -> None:
    results = {name: measure(PAYLOADS[name].make(1_000_003)) for name in ("int", "tuple", "log")}
    if "--json" in sys.argv[1:]:
        print(json.dumps(results, indent=2))
        return
    for name, times in results.items():
        print(name)
        for way, time in times.items():
            print(f"  {way:<24}{time:7.0f} ns  {time / times['get']:5.2f}x")


if __name__ == "__main__":
    main()
