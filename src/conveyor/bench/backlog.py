"""What an item costs as the backlog grows: conveyor alone, in one process.

For each size N: put N items, then get N, again and again until enough were moved to be timed. At
N = 10 all stays in the cache; at 10 million it is memory never touched before, given back after.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from statistics import median
from time import monotonic, perf_counter_ns
from typing import Any

from conveyor.bench.busy import Bystander
from conveyor.bench.payloads import PAYLOADS
from conveyor.bench.processes import MeasurementFailed, run_together
from conveyor.bench.rivals import RIVALS

__all__ = ["SIZES", "Backlog", "BacklogPoint", "measure_backlog"]

SIZES = (10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000)
_MOVED = 400_000
"""Items put and got for one reading, at least."""
_BYTES_AN_ITEM = 160
"""Memory an item may take at most, for judging whether a size fits."""


@dataclass(frozen=True)
class BacklogPoint:
    """One size: nanoseconds to put an item and to get one, each round's reading."""

    size: int
    put_ns: tuple[float, ...]
    get_ns: tuple[float, ...]

    @property
    def cost_ns(self) -> float:
        """Median nanoseconds of put and get of an item together."""
        return median(put + get for put, get in zip(self.put_ns, self.get_ns, strict=True))


@dataclass(frozen=True)
class Backlog:
    """All sizes, smallest first; `missing` says why the largest were left out, else empty."""

    points: tuple[BacklogPoint, ...]
    missing: str = ""
    others: float = 0.0
    """Cores that other programs kept busy meanwhile, on average."""

    @property
    def worst(self) -> BacklogPoint:
        """The dearest of the sizes."""
        return max(self.points, key=lambda point: point.cost_ns)

    @property
    def ratio(self) -> float:
        """Cost at the dearest size over the cost at the smallest."""
        return self.worst.cost_ns / self.points[0].cost_ns


def _reading(size: int, moved: int) -> tuple[float, float]:
    """Nanoseconds to put one item and to get one, at backlogs up to `size`, on a fresh queue."""
    from conveyor import Queue

    payload = PAYLOADS["tuple"]
    queue: Queue[Any] = Queue()
    put, get, item = queue.put, queue.get, payload.specimens[0]
    passes = max(1, moved // size)
    put_ns = get_ns = 0
    for _ in repeat(None, passes):
        before = perf_counter_ns()
        for _ in repeat(None, size):
            put(item)
        between = perf_counter_ns()
        for _ in repeat(None, size):
            get()
        get_ns += perf_counter_ns() - between
        put_ns += between - before
    if not queue.empty():
        raise MeasurementFailed("the backlog did not drain")
    return put_ns / (passes * size), get_ns / (passes * size)


def _memory_available() -> int:
    """Bytes that the kernel thinks can be had without swapping."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


def measure_backlog(
    say: Callable[[str], None],
    *,
    largest: int = SIZES[-1],
    rounds: int = 5,
    budget: float = 60.0,
    moved: int = _MOVED,
) -> Backlog:
    """All sizes up to `largest`, in `rounds` rounds over them, each reading in a fresh process.

    After `budget` seconds sizes above 100,000 get no further reading (they have at least one).
    """
    RIVALS["conveyor"].load()
    began = monotonic()
    bystander = Bystander()
    missing = "" if largest >= SIZES[-1] else f"only to {largest:,}"
    sizes = [size for size in SIZES if size <= largest]
    while sizes[-1] > 100_000 and sizes[-1] * _BYTES_AN_ITEM > _memory_available():
        missing = f"{sizes[-1]:,} left out: it may need {sizes.pop() * _BYTES_AN_ITEM >> 20} MiB of memory"
    readings: dict[int, list[tuple[float, float]]] = {size: [] for size in sizes}
    for number in range(rounds):
        for size in sizes:
            if number and size > 100_000 and monotonic() - began > budget:
                continue
            say(f"backlog of {size:,}, {number + 1} of {rounds}")

            def role(_barrier: Any, size: int = size) -> tuple[float, float]:
                return _reading(size, moved)

            readings[size] += run_together([role], patience=180.0)
    points = [
        BacklogPoint(size, tuple(put for put, _ in pairs), tuple(get for _, get in pairs))
        for size, pairs in readings.items()
    ]
    return Backlog(tuple(points), missing, bystander.cores())
