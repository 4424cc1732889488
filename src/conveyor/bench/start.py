"""What a pipeline costs before it is under way: 1,000 empty calls, beside a Pool made for them.

Each reading is a program of its own, started for it: what is imported, forked or made on first use counts,
and what the benchmark has imported does not help. Timed is what its author waits for: `run`, from the call to
its return; for the Pool, to make it, map and close it.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from conveyor.bench.processes import MeasurementFailed

__all__ = ["ITEMS", "Start", "measure_start"]

ITEMS = 1000
"""Empty calls of a reading."""

_OURS = f"""\
from time import perf_counter
from conveyor import Pipeline

def nothing(item):
    return item

pipeline = Pipeline(range({ITEMS})).map(nothing, workers=2)
before = perf_counter()
report = pipeline.run(start_method="fork")
taken = perf_counter() - before
assert report.results == {ITEMS}
print(taken)
"""

_THEIRS = f"""\
from time import perf_counter
import multiprocessing

def nothing(item):
    return item

context = multiprocessing.get_context("fork")
before = perf_counter()
pool = context.Pool(2)
results = pool.map(nothing, range({ITEMS}))
pool.close()
pool.join()
taken = perf_counter() - before
assert len(results) == {ITEMS}
print(taken)
"""


@dataclass(frozen=True)
class Start:
    """Seconds of each round, of a pipeline and of a Pool."""

    ours: tuple[float, ...]
    theirs: tuple[float, ...]

    @property
    def seconds(self) -> float:
        """Median seconds of the pipeline."""
        return median(self.ours)

    @property
    def ratio(self) -> float:
        """The pipeline's median over the Pool's."""
        return self.seconds / median(self.theirs)


def _seconds(program: str) -> float:
    try:
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
        )
    except subprocess.TimeoutExpired:
        raise MeasurementFailed("1,000 empty calls did not end") from None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise MeasurementFailed(lines[-1])
    return float(done.stdout)


def measure_start(say: Callable[[str], None], *, rounds: int = 9) -> Start:
    """The two programs in turn, in so many rounds."""
    readings: tuple[list[float], list[float]] = [], []
    for number in range(rounds):
        say(f"1,000 empty calls, {number + 1} of {rounds}")
        for program, found in zip((_OURS, _THEIRS), readings, strict=True):
            found.append(_seconds(program))
    return Start(tuple(readings[0]), tuple(readings[1]))
