"""The most memory that all processes together take while arrays pass through a bounded queue.

    conveyor.bench.memory (parent, fresh)     no rival, no chart, no other workload's items in it
      |- producer    puts all arrays, as fast as the queue takes them
      |- consumer    waits until the queue is full, is slow for a while, then takes all
      `- watcher     every 20 ms: what all four take

Counted is the PSS, in which a page that several map counts once in all, plus what the queue holds
but nobody has mapped: shared memory by its own statistics, if that is more than by the PSS.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from conveyor.bench.arrays import ITEM_BYTES, marks, positions
from conveyor.bench.optional import optional
from conveyor.bench.processes import MeasurementFailed, run_together

__all__ = ["MAX_BYTES", "TOTAL_BYTES", "Memory", "measure_memory", "memory_of"]

TOTAL_BYTES = 10 << 30
MAX_BYTES = 256 << 20
_ARRAY_BYTES = 8 << 20
_EVERY = 0.02
_SLOW_ITEMS, _SLOW_SECONDS = 32, 0.01
"""The consumer's first items, and how long it takes over each."""


@dataclass(frozen=True)
class Memory:
    """Bytes that passed, the peak of all processes together, and how it came about."""

    total_bytes: int
    peak_bytes: int
    base_bytes: int
    """Of all processes before the first item."""
    full_bytes: int
    """In the queue when its producer could put no more."""
    seconds: float
    samples: int


@dataclass(frozen=True)
class _Board:
    """A few numbers that all processes see: their ids, and whether it is over."""

    memory: mmap.mmap

    def __getitem__(self, index: int) -> int:
        return int(struct.unpack_from("q", self.memory, index * 8)[0])

    def __setitem__(self, index: int, value: int) -> None:
        struct.pack_into("q", self.memory, index * 8, value)


_PRODUCER, _CONSUMER, _OVER = range(3)


def memory_of(pid: int) -> tuple[int, int]:
    """Bytes of one process: its PSS, and the part of it that is not shared memory."""
    fields: dict[str, int] = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, _, value = line.partition(":")
        fields[name] = int(value.split()[0]) * 1024
    return fields["Pss"], fields["Pss"] - fields["Pss_Shmem"]


def _all_taken(pids: list[int], queue: Any) -> int:
    held: int = queue.statistics().memory_held
    taken = [memory_of(pid) for pid in pids]
    return max(sum(pss for pss, _ in taken), sum(own for _, own in taken) + held)


def _produce(queue: Any, count: int) -> int:
    """One array, changed for each item: `put` has taken its content when it returns."""
    array = optional("numpy").full(_ARRAY_BYTES // ITEM_BYTES, 0.5)
    places = positions(array.size)
    for tag in range(count):
        for number, position in enumerate(places):
            array[position] = tag + number * 0.25
        queue.put(array)
    return 0


def _consume(queue: Any, count: int) -> int:
    """Takes all, in order, each checked; says how many were in the queue when it was full."""
    full = _wait_until_it_stalls(queue)
    for tag in range(count):
        array = queue.get(timeout=30)
        if marks(array) != tuple(tag + number * 0.25 for number in range(4)):
            raise MeasurementFailed(f"item {tag} arrived changed, or another in its place")
        if tag < _SLOW_ITEMS:
            sleep(_SLOW_SECONDS)
    if not queue.empty():
        raise MeasurementFailed("items were left over: some arrived twice")
    return full


def _wait_until_it_stalls(queue: Any) -> int:
    depth, since = 0, monotonic()
    while monotonic() - since < (0.5 if depth else 10.0):
        now = queue.qsize()
        if now != depth:
            depth, since = now, monotonic()
        sleep(_EVERY)
    return depth


def _pass(total: int) -> Memory:
    """The whole passage; called in the fresh process."""
    from conveyor import Queue

    optional("numpy")  # before the fork, as a program that imports it at the top does
    queue: Queue[Any] = Queue(max_bytes=MAX_BYTES)
    board = _Board(mmap.mmap(-1, mmap.PAGESIZE))
    count = max(1, total // _ARRAY_BYTES)

    def producer(barrier: Any) -> tuple[int, ...]:
        board[_PRODUCER] = os.getpid()
        barrier.wait()
        barrier.wait()
        return (_produce(queue, count),)

    def consumer(barrier: Any) -> tuple[int, ...]:
        board[_CONSUMER] = os.getpid()
        barrier.wait()
        barrier.wait()
        try:
            return (_consume(queue, count),)
        finally:
            board[_OVER] = 1

    def watcher(barrier: Any) -> tuple[int, ...]:
        barrier.wait()
        pids = [board[_PRODUCER], board[_CONSUMER], os.getppid(), os.getpid()]
        base = peak = _all_taken(pids, queue)
        barrier.wait()
        samples = 0
        while not board[_OVER]:
            try:
                peak = max(peak, _all_taken(pids, queue))
            except (OSError, KeyError):  # the producer is done and has left
                pids = [pid for pid in pids if _lives(pid)]
            samples += 1
            sleep(_EVERY)
        return base, peak, samples

    began = monotonic()
    _, (full,), (base, peak, samples) = run_together([producer, consumer, watcher], patience=150.0)
    return Memory(count * _ARRAY_BYTES, peak, base, full * _ARRAY_BYTES, monotonic() - began, samples)


def _lives(pid: int) -> bool:
    try:
        memory_of(pid)
    except (OSError, KeyError):
        return False
    return True


def measure_memory(say: Callable[[str], None], *, total: int = TOTAL_BYTES) -> Memory:
    """Pass arrays of 8 MiB, `total` bytes in all, through a queue that holds `MAX_BYTES`."""
    say(f"memory: {total / (1 << 30):.1f} GiB of arrays through a queue of {MAX_BYTES >> 20} MiB")
    # A single thread of NumPy's linear algebra, which is not used: its buffers are no part of this.
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "conveyor.bench.memory", str(total)]
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=200, check=False
        )
    except subprocess.TimeoutExpired:
        raise MeasurementFailed("the passage did not end") from None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise MeasurementFailed(lines[-1])
    return Memory(**json.loads(done.stdout))


if __name__ == "__main__":
    try:
        print(json.dumps(asdict(_pass(int(sys.argv[1])))))
    except (MeasurementFailed, ImportError) as error:
        print(error, file=sys.stderr)
        sys.exit(1)
