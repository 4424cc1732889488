"""A producer that runs ahead: it rests for consumers that are at work, and for nobody else."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import resource
import signal
from collections.abc import Callable
from typing import Any

import pytest
from helpers import METHODS, crew, finish, until

import conveyor

ITEM = bytes(64 * 1024)


def put_all(queue: Any, count: int, answer: Any, options: dict[str, Any]) -> None:
    """Tell how often the process went to sleep."""
    put = queue.put
    put(b"")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw
    for _ in range(count):
        put(ITEM, **options)
    answer.put(resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw - before)


def take_all(queue: Any, work: Callable[[bytes], object]) -> None:
    while (item := queue.get()) is not None:
        work(item)


def sleeps_of(queue: Any, count: int, method: str = "fork", producers: int = 1, **options: Any) -> list[int]:
    """How often each of so many producers slept, while together they put `count` items."""
    context: Any = multiprocessing.get_context(method)
    answers: conveyor.Queue[int] = conveyor.Queue()
    with crew() as members:
        for _ in range(producers):
            members.append(
                context.Process(target=put_all, args=(queue, count // producers, answers, options))
            )
            members[-1].start()
        sleeps = [answers.get(timeout=60) for _ in members]
        for member in members:
            finish(member)
    return sleeps


@pytest.mark.parametrize("method", METHODS)
def test_without_a_consumer_a_producer_hardly_ever_sleeps(method: str) -> None:
    queue: conveyor.Queue[bytes] = conveyor.Queue()
    # 2 MiB may wait; then a rest at the 1st, 3rd, 7th ... 1,023rd item.
    assert sleeps_of(queue, 1500, method) <= [20]


def test_a_stopped_consumer_holds_nobody_up() -> None:
    queue: conveyor.Queue[bytes] = conveyor.Queue()
    with crew() as members:
        members.append(multiprocessing.get_context("fork").Process(target=take_all, args=(queue, bytes)))
        members[0].start()
        queue.put(b"first")
        until(lambda: queue.statistics().items_out == 1, "the first item to be taken")
        assert members[0].pid is not None
        os.kill(members[0].pid, signal.SIGSTOP)
        os.waitid(os.P_PID, members[0].pid, os.WSTOPPED | os.WNOWAIT)
        assert sleeps_of(queue, 1500) <= [20]


def test_put_that_must_not_wait_does_not_rest() -> None:
    queue: conveyor.Queue[bytes | None] = conveyor.Queue()
    with crew() as members:
        members.append(
            multiprocessing.get_context("fork").Process(target=take_all, args=(queue, hashlib.sha256))
        )
        members[0].start()
        # With rests it would be one for nearly each item; what is left are locks that the consumer has.
        assert sleeps_of(queue, 1500, block=False) < [300]
        queue.put(None)
        finish(members[0])


@pytest.mark.parametrize("method", METHODS)
def test_a_backlog_stays_small_while_a_consumer_is_at_work(method: str) -> None:
    # A consumer that gets no processor is none at work: then once more, with a queue of its own.
    for _ in range(10):
        if most_sleeps_beside_a_consumer(method) > 20:
            return
    pytest.fail("no producer rested more often than without a consumer")


def most_sleeps_beside_a_consumer(method: str) -> int:
    queue: conveyor.Queue[bytes | None] = conveyor.Queue()
    context: Any = multiprocessing.get_context(method)
    with crew() as members:
        members.append(context.Process(target=take_all, args=(queue, bytes)))
        members[0].start()
        queue.put(b"first")
        until(lambda: queue.statistics().items_out == 1, "the first item to be taken")
        sleeps = max(sleeps_of(queue, 9000, method, 3))
        queue.put(None)
        finish(members[0])
    assert queue.statistics().items_out == 9000 + 3 + 2
    if sleeps > 20:
        # One consumer gets a quarter of what runs: without rests most would wait in the end.
        assert queue.statistics().peak_depth < 3000
    return sleeps
