"""What it saves to keep worker processes: 100 runs by one `Workers`, and 100 that start their own.

    python benchmarks/reused_workers.py

Prints milliseconds for a run, the median and the worst of five rounds each, and how many times as fast the reused are.
"""

from __future__ import annotations

import statistics
import sys
import time
from typing import Any

from conveyor import Pipeline, Workers

ROUNDS = 5
RUNS = 100
ITEMS = 100


def empty(item: Any) -> Any:
    return item


def compare(rounds: int = ROUNDS, runs: int = RUNS, items: int = ITEMS) -> dict[str, list[float]]:
    """Seconds for a run: `own` starts its processes, `reused` has them. The rounds take turns."""
    pipeline = Pipeline(range(items)).map(empty).to(list)
    seconds: dict[str, list[float]] = {"own": [], "reused": []}
    with Workers(2) as workers:
        workers.run(pipeline)
        pipeline.run(jobs=2)
        for _ in range(rounds):
            for name, run in (
                ("own", lambda: pipeline.run(jobs=2)),
                ("reused", lambda: workers.run(pipeline)),
            ):
                began = time.perf_counter()
                for _ in range(runs):
                    assert len(run().result) == items
                seconds[name].append((time.perf_counter() - began) / runs)
    return seconds


def main() -> int:
    seconds = compare()
    for name, each in seconds.items():
        print(f"{name:7} {1000 * statistics.median(each):8.3f} ms a run, worst {1000 * max(each):8.3f}")
    ratio = statistics.median(seconds["own"]) / statistics.median(seconds["reused"])
    worst = min(own / reused for own, reused in zip(seconds["own"], seconds["reused"], strict=True))
    print(f"reused workers are {ratio:.1f} times as fast, worst round {worst:.1f} (to reach: 5)")
    return 0 if ratio >= 5 else 1


if __name__ == "__main__":
    sys.exit(main())
