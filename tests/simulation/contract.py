"""Bench: a worker of any kind with a stage in miniature, and what is the same for all kinds."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

from conveyor.pipeline.base.failure import Failure
from conveyor.pipeline.flow.chunk import NO_RESULT, Chunk
from conveyor.pipeline.flow.reorder_buffer import ReorderBuffer
from conveyor.pipeline.supervise.handle import WorkerHandle
from conveyor.pipeline.supervise.real_world import RealWorld
from conveyor.pipeline.testing.fate import Fate
from conveyor.pipeline.testing.simulated_world import SimulatedWorld
from conveyor.pipeline.worker.functions import FunctionStep
from conveyor.pipeline.worker.serve import Job

__all__ = ["ENDLESS", "KINDS", "Bench"]

KINDS = ("process", "thread", "coroutine", "simulated process", "simulated thread")
ENDLESS = -1
"""An item that takes for ever."""
BAD = -2
"""An item that fails."""
_GUARD_SECONDS = 60.0
_LOOK_SECONDS = 0.001
_over = threading.Event()


def work(item: int) -> int:
    if item == ENDLESS:
        _over.wait(10 * _GUARD_SECONDS)
    return check(item)


async def work_later(item: int) -> int:
    if item == ENDLESS:
        await asyncio.sleep(10 * _GUARD_SECONDS)
    return check(item)


def check(item: int) -> int:
    if item == BAD:
        raise ValueError("bad")
    return 10 * item


def takes(_stage: str, item: Any) -> float:
    return 10 * _GUARD_SECONDS if item == ENDLESS else 0.001


class Bench:
    """A stage with one worker.

    Args:
        kind: one of `KINDS`.
        seed: of a simulated world.
    """

    stage = "bench"
    keyed = shares_memory = closed = seeded = False
    identity = (0, 1, 0)

    def __init__(self, kind: str, seed: int = 0) -> None:
        simulated = kind.startswith("simulated")
        self.world: Any = SimulatedWorld(Fate(seed, delay=takes)) if simulated else RealWorld("fork")
        where: Any = {"process": "processes", "thread": "threads", "coroutine": "coroutines"}[
            kind.split()[-1]
        ]
        self.now = self.world.now
        self.buffer = ReorderBuffer(True, 1000, 1 << 30)
        self.failures: list[Failure] = []
        self.out: list[Any] = []
        self.errors: list[BaseException] = []
        function: Any = check if simulated else work_later if kind == "coroutine" else work
        job = Job((FunctionStep("map", function),))
        self.workforce = self.world.workforce(lambda _: None, self.errors.append)
        self.workforce.get_ready([job] if where == "processes" else [])
        self.handle: WorkerHandle = self.workforce.start_worker(self, job, where)
        self._poller = self.world.poller(None)
        self.handle.watch(self._poller)
        self._given = 0

    def give(self, *items: int) -> Chunk:
        """Give it these."""
        chunk = Chunk(self._given, list(items))
        self._given += chunk.count
        self.buffer.add(chunk)
        self.handle.give(chunk)
        return chunk

    def until(self, condition: Callable[[], object]) -> None:
        """Collect what it says until this is so."""
        end = self.now() + _GUARD_SECONDS
        while True:
            self.handle.collect()
            self.out += self.buffer.release()[0]
            if condition():
                return
            assert self.now() < end, f"{self.out} are there, and {self.handle.outstanding} are not"
            self.world.sleep(_LOOK_SECONDS)

    def close(self) -> None:
        """End it."""
        _over.set()
        self.handle.kill()
        self.handle.unwatch(self._poller)
        self.handle.close()
        self._poller.close()
        self.workforce.end_processes()
        self.workforce.end_loop()
        del self.handle, self.workforce  # and with them the queues, for the test itself is still remembered
        _over.clear()

    # -- as the owner of a worker ----------------------------------------------------------------------------

    def said(self, pid: int, what: str, data: bytes) -> None:
        raise AssertionError(f"{pid} has said {data!r}")

    def grown(self, chunk: Chunk, count: int, by: int) -> None:
        self.buffer.grown(chunk, count, by)

    def split(self, chunk: Chunk, number: int) -> Chunk:
        return self.buffer.split(chunk, number)

    def come_back(self, chunks: list[Chunk], slot: int | None = None) -> None:
        raise AssertionError("the stage was not closed")

    def fanned_out(self, origin: Any, count: int) -> None:
        raise AssertionError("nobody keeps account")

    def failed(self, failure: Failure, link: int, chunk: Chunk) -> Any:
        self.failures.append(failure)
        return NO_RESULT

    def retry(self, chunk: Chunk, verdict: Any) -> None:
        raise AssertionError("nothing is tried again")
