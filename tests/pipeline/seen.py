"""Runs that a test looks at from another process: each waits at a gate, a file, until that is opened."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from conveyor import Pipeline

GUARD_SECONDS = 60


class Waits:
    """Passes items on, but waits with one of them until the gate is open."""

    def __init__(self, gate: Path, at: int) -> None:
        self.gate, self.at = gate, at
        self.end = time.monotonic() + GUARD_SECONDS

    @property
    def closed(self) -> bool:
        return not self.gate.exists() and time.monotonic() < self.end

    def __call__(self, item: int) -> int:
        while item == self.at and self.closed:
            time.sleep(0.01)
        return item


class Takes(Waits):
    """Takes a little with each: so workers are not given many in advance."""

    def __call__(self, item: int) -> int:
        time.sleep(0.005)
        return super().__call__(item)


class WaitsInLoop(Waits):
    """The same as a coroutine."""

    async def __call__(self, item: int) -> int:  # type: ignore[override]
        while item == self.at and self.closed:
            await asyncio.sleep(0.01)
        return item


class Unlucky(Waits):
    """Fails on odd items, each of two ways; dies on seven; waits with the last."""

    def __call__(self, item: int) -> int:
        if item == 7:
            os.kill(os.getpid(), signal.SIGKILL)
        if item % 4 == 1:
            raise ValueError(f"no {item}")
        if item % 4 == 3:
            raise LookupError(item)
        return super().__call__(item)


class Outer(Waits):
    """Runs a pipeline of its own for an item."""

    def __call__(self, item: int) -> int:
        Pipeline([item], name="inner").map(Waits(self.gate, item), threads=1).run(signals=False)
        return item


def mixed(gate: Path, method: Any) -> None:
    stages = Pipeline(range(1, 10), name="mixed").map(Waits(gate, 3), workers=1, name="in a process")
    stages = stages.map(Waits(gate, 1), threads=2, name="in a thread")
    stages.map(WaitsInLoop(gate, 2), concurrency=3, name="in a loop").to(list).run(start_method=method)


def unlucky(gate: Path, method: Any) -> None:
    stage = Pipeline(range(31)).map(Unlucky(gate, 30), workers=2, retries=1, backoff=0.0, on_error="skip")
    stage.run(start_method=method)


def replaced(gate: Path, method: Any) -> None:
    Pipeline([6, 7, 8]).map(Unlucky(gate, 8), workers=1, on_error="skip").run(start_method=method)


def nested(gate: Path, method: Any) -> None:
    Pipeline([1], name="outer").map(Outer(gate, 0), workers=1).run(start_method=method)


def twenty(gate: Path, method: Any) -> None:
    stages: Pipeline[Any] = Pipeline(range(1000))
    for number in range(20):
        stages = stages.map(Takes(gate, 0 if number == 19 else -1), threads=1, name=f"stage {number}")
    stages.run(start_method=method)


RUNS: dict[str, Callable[[Path, Any], None]] = {
    each.__name__: each for each in (mixed, unlucky, replaced, nested, twenty)
}

if __name__ == "__main__":
    RUNS[sys.argv[1]](Path(sys.argv[2]), sys.argv[3])
