"""A collector beside processes that come and go: whoever is attached keeps the queue that it has."""

from __future__ import annotations

import multiprocessing
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers import crew, finish, until

import conveyor
from conveyor.inspection import Outcome, collect

REMOVALS = 150


@pytest.fixture
def name() -> Iterator[str]:
    name = f"test-{uuid.uuid4().hex}"
    yield name
    for path in Path("/dev/shm").glob(f"conveyor.{name}*"):
        path.unlink()


def come_and_go(name: str, stop: Any, visits: Any) -> None:
    """Attach, and look as long as we are attached whether the name still leads to our queue."""
    path = f"/dev/shm/conveyor.{name}"
    while not stop.is_set():
        queue: Any = conveyor.connect(f"shm://{name}")
        assert os.stat(path).st_ino == queue._segment.identity[1], "attached to a queue without a name"  # noqa: PTH116
        queue.put(os.getpid())
        queue.get(timeout=10)  # ours or another's: as many as were put
        assert os.stat(path).st_ino == queue._segment.identity[1], "the queue was removed under us"  # noqa: PTH116
        with visits.get_lock():
            visits.value += 1
        del queue


def collect_on(name: str, stop: Any, removals: Any) -> None:
    while not stop.is_set():
        for each in collect([name]):
            assert each.outcome in (Outcome.REMOVED, Outcome.IN_USE), each
            with removals.get_lock():
                removals.value += each.outcome is Outcome.REMOVED


def test_whoever_attaches_at_that_moment_keeps_its_queue(name: str) -> None:
    context = multiprocessing.get_context("fork")
    stop, visits, removals = context.Event(), context.Value("q", 0), context.Value("q", 0)
    with crew() as everybody:
        for _ in range(2):
            everybody.append(context.Process(target=come_and_go, args=(name, stop, visits)))
            everybody.append(context.Process(target=collect_on, args=(name, stop, removals)))
        for process in everybody:
            process.start()

        def enough() -> bool:
            assert all(process.is_alive() for process in everybody), "one of them failed"
            return removals.value >= REMOVALS

        until(enough, f"{REMOVALS} removals", 60)
        stop.set()
        for process in everybody:
            finish(process)
    assert visits.value >= REMOVALS
