"""What a queue costs before its first item: time, descriptors, memory, mappings; beside multiprocessing.Queue.

Each reading is made in a process of its own, on queues that are all kept until it is over. Memory is what
the process takes more with them than before them: its PSS, or, if that is more, what it has beside shared
memory plus the blocks of all files that the new descriptors name, mapped or not.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter_ns
from typing import Any

from conveyor.bench.memory import memory_of
from conveyor.bench.processes import FORK, run_together

__all__ = ["Created", "Creation", "measure_creation"]

_QUEUES = 200
"""Kept at once in one reading: more than three descriptors each would pass the usual limit of 1,024."""


@dataclass(frozen=True)
class Created:
    """What one queue took, on average over a reading's queues; the time is their median."""

    nanoseconds: float
    descriptors: float
    touched_bytes: float
    mapped_bytes: float
    mappings: float


@dataclass(frozen=True)
class Creation:
    """One reading a round, of conveyor's queue and of multiprocessing's."""

    ours: tuple[Created, ...]
    theirs: tuple[Created, ...]

    @property
    def ratio(self) -> float:
        """Median time of conveyor's over that of multiprocessing's."""
        ours, theirs = (median(each.nanoseconds for each in side) for side in (self.ours, self.theirs))
        return ours / theirs

    @property
    def descriptors(self) -> float:
        """File descriptors that a queue of conveyor's takes."""
        return max(each.descriptors for each in self.ours)

    @property
    def touched_bytes(self) -> float:
        """Memory that a queue of conveyor's has touched."""
        return median(each.touched_bytes for each in self.ours)


def _descriptors() -> list[int]:
    return [int(path.name) for path in Path("/proc/self/fd").iterdir()]


def _blocks() -> int:
    """Bytes of the files in memory that this process has open."""
    total = 0
    for descriptor in _descriptors():
        with suppress(OSError):  # the listing's own descriptor is closed by now
            status = os.fstat(descriptor)
            if stat.S_ISREG(status.st_mode) and status.st_nlink == 0:
                total += status.st_blocks * 512
    return total


def _mappings() -> tuple[int, int]:
    """How many mappings this process has, and their bytes."""
    lines = Path("/proc/self/maps").read_text().splitlines()
    edges = [line.split(" ", 1)[0].split("-") for line in lines]
    return len(lines), sum(int(high, 16) - int(low, 16) for low, high in edges)


def _reading(make: Callable[[], Any], count: int) -> Created:
    make()  # what is made once for all queues of a process is made here
    kept: list[Any] = [None] * count
    times: list[int] = [0] * count
    files, blocks, (lines, size) = len(_descriptors()), _blocks(), _mappings()
    pss, own = memory_of(os.getpid())
    for number in range(count):
        before = perf_counter_ns()
        kept[number] = make()
        times[number] = perf_counter_ns() - before
    pss_after, own_after = memory_of(os.getpid())
    touched = max(pss_after - pss, own_after - own + _blocks() - blocks)
    lines_after, size_after = _mappings()
    return Created(
        median(times),
        (len(_descriptors()) - files) / count,
        touched / count,
        (size_after - size) / count,
        (lines_after - lines) / count,
    )


def measure_creation(say: Callable[[str], None], *, rounds: int = 9, queues: int = _QUEUES) -> Creation:
    """So many queues of each kind, in turn, in so many rounds."""
    from conveyor import Queue

    def ours(_barrier: Any) -> Created:
        return _reading(Queue, queues)

    def theirs(_barrier: Any) -> Created:
        return _reading(FORK.Queue, queues)

    readings: tuple[list[Created], list[Created]] = [], []
    for number in range(rounds):
        say(f"creating queues, {number + 1} of {rounds}")
        for role, found in zip((ours, theirs), readings, strict=True):
            found += run_together([role], patience=60.0)
    return Creation(tuple(readings[0]), tuple(readings[1]))
