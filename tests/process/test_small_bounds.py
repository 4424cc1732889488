"""Waiting for several, and resting, where much comes at once: producers, signals, time-outs, forks, busy takers."""

from __future__ import annotations

import multiprocessing
import queue as standard
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from helpers import METHODS, crew, finish

import conveyor

# The patience of one who waits for room has to do with all of these; a queue without a bound has rests.
BOUNDS = [1, 2, 3, 8, 64]
LARGE = bytes(64 * 1024)


def start(context: Any, members: Any, target: Callable[..., object], *arguments: Any) -> Any:
    member = context.Process(target=target, args=arguments)
    members.append(member)
    member.start()
    return member


def put_numbers(queue: Any, producer: int, count: int, content: bytes = b"") -> None:
    for number in range(count):
        queue.put((producer, number, content))


def take_in_order(queue: Any, answers: Any) -> None:
    """Until None comes; tells how many came, or who came out of order."""
    newest: dict[int, int] = {}
    count = 0
    while (item := queue.get()) is not None:
        producer, number, _ = item
        if newest.get(producer, -1) >= number:
            answers.put(f"{number} of {producer} after {newest[producer]}")
            return
        newest[producer] = number
        count += 1
    answers.put(count)


@pytest.mark.parametrize("consumers", [1, 3])
@pytest.mark.parametrize("bound", [*BOUNDS, 0])
def test_many_producers(bound: int, consumers: int) -> None:
    context: Any = multiprocessing.get_context("fork")
    queue: conveyor.Queue[Any] = conveyor.Queue(maxsize=bound)
    answers: conveyor.Queue[Any] = conveyor.Queue()
    with crew() as members:
        takers = [start(context, members, take_in_order, queue, answers) for _ in range(consumers)]
        producers = [start(context, members, put_numbers, queue, number, 50) for number in range(48)]
        for producer in producers:
            finish(producer)
        for _ in takers:
            queue.put(None)
        assert sum(answers.get(timeout=30) for _ in takers) == 48 * 50
        for taker in takers:
            finish(taker)
    assert queue._check() == ""


def under_signals(work: Callable[..., object], *arguments: Any) -> None:
    """Calls it while a signal comes every 0.7 ms."""
    heard: list[int] = []
    signal.signal(signal.SIGALRM, lambda number, _: heard.append(number))
    signal.setitimer(signal.ITIMER_REAL, 0.0007, 0.0007)
    signal.pause()  # they come: the work may be over before the first
    work(*arguments)
    signal.setitimer(signal.ITIMER_REAL, 0)
    assert heard


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("bound", "count", "content"), [(1, 1_500, b""), (4, 8_000, b""), (64, 30_000, b""), (0, 2_000, LARGE)]
)
def test_signals_on_both_sides(bound: int, count: int, content: bytes, method: str) -> None:
    context: Any = multiprocessing.get_context(method)
    queue: conveyor.Queue[Any] = conveyor.Queue(maxsize=bound)
    answers: conveyor.Queue[Any] = conveyor.Queue()
    with crew() as members:
        taker = start(context, members, under_signals, take_in_order, queue, answers)
        finish(start(context, members, under_signals, put_numbers, queue, 0, count, content))
        queue.put(None)
        assert answers.get(timeout=30) == count
        finish(taker)


def put_for_ever(queue: Any) -> None:
    while True:
        queue.put(None)


@pytest.mark.parametrize("bound", BOUNDS)
def test_a_time_out_beside_producers_that_are_patient(bound: int) -> None:
    context: Any = multiprocessing.get_context("fork")
    queue: conveyor.Queue[Any] = conveyor.Queue(maxsize=bound)
    with crew() as members:
        for _ in range(2):
            start(context, members, put_for_ever, queue)
        # Each was woken a moment ago and waits once more. Others have the processors now and then: not at all times.
        for timeout in (0.001, 0.0049, 0.0051, 0.02):
            late: list[float] = []
            for _ in range(15):
                queue.get(timeout=30)
                while not queue.full():
                    pass
                began = time.monotonic()
                with pytest.raises(standard.Full):
                    queue.put(None, timeout=timeout)
                late.append(time.monotonic() - began - timeout)
            assert min(late) > -1e-6
            assert min(late) < 0.004


def take_without_waiting(queue: Any, answers: Any) -> None:
    count = 0
    while True:
        try:
            if queue.get_nowait() is None:
                break
        except standard.Empty:
            continue
        count += 1
    answers.put(count)


@pytest.mark.parametrize("bound", [*BOUNDS, 0])
def test_one_who_never_waits_beside_those_who_are_patient(bound: int) -> None:
    context: Any = multiprocessing.get_context("fork")
    queue: conveyor.Queue[Any] = conveyor.Queue(maxsize=bound)
    answers: conveyor.Queue[Any] = conveyor.Queue()
    with crew() as members:
        takers = [
            start(context, members, take, queue, answers)
            for take in (take_without_waiting, take_in_order, take_in_order)
        ]
        put_numbers(queue, 0, 3_000)
        for _ in takers:
            queue.put(None)
        assert sum(answers.get(timeout=30) for _ in takers) == 3_000
        for taker in takers:
            finish(taker)


@pytest.mark.parametrize(("bound", "content"), [(1, b""), (4, b""), (0, LARGE)])
def test_forks_in_the_midst_of_waits_and_rests(bound: int, content: bytes) -> None:
    context: Any = multiprocessing.get_context("fork")
    queue: conveyor.Queue[Any] = conveyor.Queue(maxsize=bound)
    answers: conveyor.Queue[Any] = conveyor.Queue()
    stop = threading.Event()
    put: list[int] = []

    def put_until_told(producer: int) -> None:
        count = 0
        while not stop.is_set():
            queue.put((producer, count, content))
            count += 1
        put.append(count)

    with crew() as members:
        taker = start(context, members, take_in_order, queue, answers)
        threads = [threading.Thread(target=put_until_told, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        forks = [
            start(context, members, put_numbers, queue, 100 + number, 30, content) for number in range(30)
        ]
        for fork in forks:
            finish(fork)
        stop.set()
        for thread in threads:
            thread.join(30)
        queue.put(None)
        assert answers.get(timeout=30) == sum(put) + 30 * 30
        finish(taker)
    assert queue._check() == ""
