"""What blocked consumers cost: processor time of many processes that wait for an item.

As many processes that merely sleep are watched over the same seconds: what they use is the
machine's own share, timer ticks and accounting, and not the queue's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import CLOCK_MONOTONIC, clock_gettime, sleep
from typing import Any

from conveyor.bench.processes import FORK, MeasurementFailed
from conveyor.bench.rivals import RIVALS

__all__ = ["Idle", "measure_idle"]


@dataclass(frozen=True)
class Idle:
    """Processor seconds and wake-ups of `processes` consumers, and of as many sleepers, in `seconds`."""

    processes: int
    seconds: float
    cpu_seconds: float
    baseline_cpu_seconds: float
    wakeups: int
    baseline_wakeups: int

    @property
    def excess(self) -> float:
        """Share of one core that all consumers together use beyond what sleepers do; may be negative."""
        return (self.cpu_seconds - self.baseline_cpu_seconds) / self.seconds


def _cpu_seconds(pid: int) -> float:
    """User and system time of another process, in ns steps: its clock, as clock_getcpuclockid(3) has it."""
    return clock_gettime((~pid << 3) | 2)


def _switches(pid: int) -> int:
    """How often the process has gone to sleep by itself, which is once for each time it was woken."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("voluntary_ctxt_switches:"):
            return int(line.split()[1])
    return 0


def _totals(pids: Sequence[int]) -> tuple[float, int]:
    return sum(map(_cpu_seconds, pids)), sum(map(_switches, pids))


def _consume(get: Callable[[], Any], started: Any) -> None:
    started.release()
    get()


def _sleep(started: Any) -> None:
    started.release()
    sleep(3600)


def measure_idle(
    say: Callable[[str], None], *, processes: int = 100, seconds: float = 10.0, settle: float = 1.0
) -> Idle:
    """Let `processes` consumers wait on one empty queue for `seconds`, and count what they use.

    `settle` seconds pass before counting begins, for all to be asleep.
    """
    RIVALS["conveyor"].load()
    from conveyor import Queue

    say(f"idle: {processes} consumers blocked for {seconds:.0f} s")
    queue: Queue[Any] = Queue()
    started = FORK.Semaphore(0)
    consumers = [
        FORK.Process(target=_consume, args=(queue.get, started), daemon=True) for _ in range(processes)
    ]
    sleepers = [FORK.Process(target=_sleep, args=(started,), daemon=True) for _ in range(processes)]
    everyone = [*consumers, *sleepers]
    try:
        for process in everyone:
            process.start()
        for _ in everyone:
            if not started.acquire(timeout=60):
                raise MeasurementFailed("the processes did not start")
        sleep(settle)
        waiting = [process.pid or 0 for process in consumers]
        sleeping = [process.pid or 0 for process in sleepers]
        began = clock_gettime(CLOCK_MONOTONIC)
        before, before_base = _totals(waiting), _totals(sleeping)
        sleep(seconds)
        after, after_base = _totals(waiting), _totals(sleeping)
        took = clock_gettime(CLOCK_MONOTONIC) - began
        if any(process.exitcode is not None for process in everyone):
            raise MeasurementFailed("a consumer did not stay blocked")
        for _ in consumers:
            queue.put(None)
        for process in consumers:
            process.join(30)
            if process.exitcode != 0:
                raise MeasurementFailed("a blocked consumer did not wake up for its item")
    finally:
        for process in everyone:
            if process.pid is not None and process.exitcode is None:
                process.kill()
        for process in everyone:
            if process.pid is not None:
                process.join()
    return Idle(
        processes,
        took,
        after[0] - before[0],
        after_base[0] - before_base[0],
        after[1] - before[1],
        after_base[1] - before_base[1],
    )
