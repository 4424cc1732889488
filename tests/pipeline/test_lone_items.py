"""Items that come one by one, while nothing else is under way: they go a short way, with nothing lost on it."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

import pytest
from stages import fail_on_seven, is_odd, pair, same

from conveyor import Failure, Pipeline, Queue


def pid_and(item: int) -> tuple[int, int]:
    return os.getpid(), item


def one_by_one(stages: Any, count: int, queue: Queue[int], **options: Any) -> list[Any]:
    """What comes out when each item is put after the result of the one before."""
    stream = stages.stream(**options)
    results: list[Any] = []
    for number in range(count):
        queue.put(number)
        results.append(next(stream))
    queue.shutdown()
    return results + list(stream)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("ordered", [False, True])
def test_each_result_comes_once(method: Any, ordered: bool) -> None:
    queue: Queue[int] = Queue()
    stages = Pipeline(queue, ordered=ordered).map(same, workers=2).map(pair, workers=1)
    assert one_by_one(stages, 300, queue, start_method=method) == [(n, n) for n in range(300)]


def test_a_full_end_holds_up_lone_items_and_loses_none() -> None:
    queue: Queue[int] = Queue()
    end: Queue[int] = Queue(maxsize=2)
    passed = threading.Event()
    got: list[int] = []

    def feed() -> None:
        for number in range(200):
            queue.put(number)
            while not queue.empty():  # the next comes alone, too, whether or not the end has room
                passed.wait(0.0001)
        queue.shutdown()

    def take() -> None:
        for _ in range(200):
            got.append(end.get(timeout=60))
            passed.wait(0.001)

    threads = [threading.Thread(target=feed), threading.Thread(target=take)]
    for thread in threads:
        thread.start()
    report = Pipeline(queue, ordered=True).map(same, workers=1).to(end).run()
    for thread in threads:
        thread.join()
    assert got == list(range(200))
    assert (report.taken, report.results) == (200, 200)


def test_failures_and_filtered_items_go_the_usual_way() -> None:
    queue: Queue[int] = Queue()
    outcomes = one_by_one(Pipeline(queue).map(fail_on_seven, workers=1), 20, queue, outcomes=True)
    assert [type(outcome) is Failure for outcome in outcomes] == [number == 7 for number in range(20)]
    queue = Queue()
    stream = Pipeline(queue).filter(is_odd, workers=1).stream()
    for number in range(0, 100, 2):
        queue.put(number)
        queue.put(number + 1)
        assert next(stream) == number + 1
    queue.shutdown()
    assert list(stream) == []


def test_a_worker_killed_between_lone_items_costs_none() -> None:
    queue: Queue[int] = Queue()
    stream: Any = Pipeline(queue).map(pid_and, workers=1, retries=3, backoff=0).stream()
    for number in range(60):
        queue.put(number)
        pid, item = next(stream)
        assert item == number
        if number % 10 == 5:
            os.kill(pid, signal.SIGKILL)
    queue.shutdown()
    assert list(stream) == []
