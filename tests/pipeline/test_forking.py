"""Workers that are copies of the program: no lock that a thread of the run's held is held in them."""

from __future__ import annotations

import os
import select
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import pytest
from waiting import is_gone, wait_until

from conveyor import Pipeline

PATIENCE = 30.0
LOCK = threading.Lock()
# One for each test, so that a thread of an earlier one cannot have it.
lock = LOCK


@pytest.fixture(autouse=True)
def fresh_lock() -> None:
    global lock
    lock = threading.Lock()
    return


def needs_lock(item: int) -> int:
    """Hangs for as long as anybody in this process has the lock, for ever if nobody there can give it back."""
    assert lock.acquire(timeout=PATIENCE), "a lock was copied while it was held"
    lock.release()
    return item


def dies_now_and_then(item: int) -> int:
    if item % 25 == 20:
        os.kill(os.getpid(), signal.SIGKILL)
    return needs_lock(item)


def holding(count: int = 100) -> Iterator[int]:
    """Holds the lock from its first item to its last."""
    with lock:
        yield from range(count)


class Holding:
    """An iterable, which is no generator."""

    def __iter__(self) -> Iterator[int]:
        return holding()


async def holding_async() -> AsyncIterator[int]:
    with lock:
        for item in range(100):
            yield item


def hold(item: int) -> int:
    """In a thread of the run's: takes the lock and keeps it."""
    lock.acquire(blocking=False)
    return item


async def hold_async(item: int) -> int:
    return hold(item)


SOURCES: dict[str, Callable[[], Any]] = {
    "generator": holding,
    "function": lambda: holding,
    "iterable": Holding,
    "iterator": lambda: map(int, holding()),
    "async generator": holding_async,
    "async function": lambda: holding_async,
}


@pytest.mark.parametrize("source", SOURCES)
class TestSources:
    def test_the_first_workers(self, source: str) -> None:
        pipeline = Pipeline(SOURCES[source]()).map(needs_lock, workers=3)
        assert set(pipeline.stream(start_method="fork")) == set(range(100))

    def test_replacements(self, source: str) -> None:
        pipeline = Pipeline(SOURCES[source]()).map(dies_now_and_then, workers=2, on_error="skip")
        report = pipeline.to(set).run(start_method="fork")
        assert report.result == set(range(100)) - {20, 45, 70, 95}
        assert report.stages[1].deaths == 4


def slow(item: int) -> int:
    threading.Event().wait(0.01)
    return needs_lock(item)


def test_workers_that_are_added_when_they_are_needed() -> None:
    report = Pipeline(holding(300)).map(slow, workers="auto").to(set).run(jobs=3, start_method="fork")
    assert report.result == set(range(300))
    assert report.stages[1].size == 3


def test_workers_for_keys() -> None:
    report = Pipeline(holding()).map(needs_lock, workers=4, key=abs).to(set).run(start_method="fork")
    assert report.result == set(range(100))


@pytest.mark.parametrize("where", ["threads", "coroutines"])
@pytest.mark.parametrize("before", [True, False])
def test_a_stage_in_this_process(where: str, before: bool) -> None:
    """Before it or behind it: workers are forked before any of its items, and replaced after."""
    pipeline: Pipeline[Any] = Pipeline(range(100))
    if before:
        pipeline = pipeline.map(dies_now_and_then, workers=2, on_error="skip")
    pipeline = (
        pipeline.map(hold, threads=2) if where == "threads" else pipeline.map(hold_async, concurrency=2)
    )
    if not before:
        pipeline = pipeline.map(dies_now_and_then, workers=2, on_error="skip")
    report = pipeline.map(needs_lock, workers=1).to(set).run(start_method="fork")
    assert report.result == set(range(100)) - {20, 45, 70, 95}


def test_another_run_in_the_same_program(tmp_path: Path) -> None:
    """One run has forked its workers of the program; then another begins to hold the lock, and a worker dies."""
    begun, held = tmp_path / "begun", tmp_path / "held"

    def die_when_held(item: int) -> int:
        if item == 0:
            begun.touch()
            wait_until(held.exists)
            os.kill(os.getpid(), signal.SIGKILL)
        return needs_lock(item)

    found: list[Any] = []

    def other() -> None:
        run = Pipeline(list(range(10))).map(die_when_held, workers=1, on_error="skip").to(list)
        found.append(run.run(start_method="fork").result)

    thread = threading.Thread(target=other)

    def source() -> Iterator[int]:
        with lock:
            held.touch()
            thread.join(2 * PATIENCE)
            yield 1

    thread.start()
    wait_until(begun.exists)
    assert list(Pipeline(source).map(abs, threads=1).stream()) == [1]
    assert found == [list(range(1, 10))]


def parents(_: int) -> tuple[int, int]:
    return os.getpid(), os.getppid()


def test_the_template_can_be_killed() -> None:
    """Its workers end with it, which is told as for any other death; then there is another one."""

    def source() -> Iterator[int]:
        for item in range(40):
            yield item
            if item == 20:
                wait_until(lambda: template)
                ended = os.pidfd_open(template[0])
                os.kill(template[0], signal.SIGKILL)
                assert select.select([ended], [], [], 30)[0]  # its worker is told before that
                os.close(ended)

    template: list[int] = []
    got: list[Any] = []
    pipeline = Pipeline(source).map(parents, workers=1, retries=2, backoff=0.0)
    for pid, parent in pipeline.stream(start_method="fork"):
        got.append(pid)
        if not template:
            assert parent != os.getpid()
            template.append(parent)
    assert len(got) == 40
    assert len(set(got)) == 2
    assert is_gone(template[0])


def test_workers_outlive_their_fork_server() -> None:
    """A signal for the whole process group ends it, while they finish what they have."""

    def source() -> Iterator[int]:
        for item in range(40):
            yield item
            if item == 20:
                server = forkserver._forkserver._forkserver_pid
                os.kill(server, signal.SIGKILL)
                os.waitid(os.P_PID, server, os.WEXITED | os.WNOWAIT)

    results = list(Pipeline(source).map(parents, workers=1).stream(start_method="forkserver"))
    assert len(results) == 40
    assert len({pid for pid, _ in results}) == 1


def test_a_run_without_threads_needs_no_template() -> None:
    (pair,) = set(Pipeline(range(3)).map(parents, workers=1).stream(start_method="fork"))
    assert pair[1] == os.getpid()


def test_what_workers_find_of_the_program() -> None:
    """As in a child of `multiprocessing`'s: who the parent is, its own number, and that it may have children."""
    (seen,) = set(Pipeline(iter([1])).map(look_around, workers=1).stream(start_method="fork"))
    parent, alive, numbers, daemon, stop = seen
    assert (parent, alive, daemon, stop) == (os.getpid(), True, False, signal.SIG_DFL)
    assert numbers == 1


def look_around(_: int) -> tuple[Any, ...]:
    import multiprocessing

    me, parent = multiprocessing.current_process(), multiprocessing.parent_process()
    assert parent is not None
    return parent.pid, parent.is_alive(), len(me._identity), me.daemon, signal.getsignal(signal.SIGCHLD)
