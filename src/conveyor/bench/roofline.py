"""What the memory allows: copies of one item a second, by one memcpy each, and nothing else.

Under the conditions of a producer: the sources are the same distinct arrays that go round in the
workload, too many for the cache; the targets are as many places in shared memory as items may be
in flight, touched before. Slices of memoryviews are copied, which is libc's memcpy.
"""

from __future__ import annotations

import mmap
from itertools import cycle, islice
from time import perf_counter
from typing import Any

from conveyor.bench.payloads import Payload
from conveyor.bench.processes import run_together

__all__ = ["measure_copies"]


def measure_copies(payload: Payload, seconds: float, places: int) -> float:
    """Copies a second into so many places, in a process of its own, over about `seconds`."""
    _ = payload.specimens  # made here, where the rivals' producers inherit theirs from too

    def role(_barrier: Any) -> float:
        size = payload.size
        with mmap.mmap(-1, size * places) as memory, memoryview(memory) as whole:
            whole[:] = bytes(size * places)
            targets = [whole[size * place : size * (place + 1)] for place in range(places)]
            sources = [memoryview(array).cast("B") for array in payload.specimens]
            trial = _seconds_for(len(sources), sources, targets) / len(sources)
            count = max(len(sources), round(seconds / trial))
            rate = count / _seconds_for(count, sources, targets)
            for target in targets:
                target.release()
        return rate

    return run_together([role], patience=20 + 20 * seconds)[0]


def _seconds_for(count: int, sources: list[memoryview], targets: list[memoryview]) -> float:
    began = perf_counter()
    for source, target in zip(islice(cycle(sources), count), cycle(targets), strict=False):
        target[:] = source
    return perf_counter() - began
