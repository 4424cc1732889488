"""Defects 11 to 15: what a queue says is true at once, and a timeout bounds the whole call."""

from __future__ import annotations

import multiprocessing
import os
import queue as standard
import random
import signal
import threading
import time
from typing import Any

import pytest
from helpers import METHODS, crew, finish, until

import conveyor

KINDS = [conveyor.Queue, conveyor.JoinableQueue]


@pytest.mark.parametrize("kind", KINDS)
def test_defect_11_what_was_put_is_visible_at_once(kind: Any) -> None:
    queue = kind()
    for number in range(5000):
        queue.put(number)
        assert not queue.empty()
        assert queue.qsize() == 1
        assert queue.get_nowait() == number
        assert queue.empty()
        assert queue.qsize() == 0


def test_defect_11_a_simple_queue_too() -> None:
    queue: conveyor.SimpleQueue[int] = conveyor.SimpleQueue()
    for number in range(5000):
        queue.put(number)
        assert not queue.empty()
        assert queue.get() == number
        assert queue.empty()


def put_and_send(queue: Any, end: Any, count: int) -> None:
    for number in range(count):
        queue.put(number)
        end.send(number)
        assert end.recv() == "taken"
        assert queue.empty()


@pytest.mark.parametrize("method", METHODS)
def test_defect_11_in_every_process(method: str) -> None:
    queue: conveyor.Queue[int] = conveyor.Queue()
    context = multiprocessing.get_context(method)
    mine, theirs = context.Pipe()  # the standard library's: a way round the queue
    with crew() as members, mine, theirs:
        members.append(context.Process(target=put_and_send, args=(queue, theirs, 1000)))
        members[0].start()
        for _ in range(1000):
            number = mine.recv()
            assert not queue.empty()
            assert queue.qsize() == 1
            assert queue.get_nowait() == number
            mine.send("taken")
        finish(members[0])


def take_and_give_back(queue: Any, count: int, empties: Any) -> None:
    seen = 0
    for turn in range(count):
        try:
            item = queue.get_nowait() if turn % 2 else queue.get(True, 0)
        except standard.Empty:
            seen += 1
        else:
            queue.put(item)
    empties.put(seen)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", METHODS)
def test_defect_12_empty_only_if_it_is_empty(method: str, kind: Any) -> None:
    workers = 4
    queue, empties = kind(), conveyor.Queue()
    for number in range(workers + 1):  # so it is never empty, whoever has one in hand
        queue.put(number)
    with crew() as members:
        for _ in range(workers):
            process = multiprocessing.get_context(method).Process(
                target=take_and_give_back, args=(queue, 10_000, empties)
            )
            members.append(process)
            process.start()
        assert [empties.get(timeout=60) for _ in members] == [0] * workers
        for process in members:
            finish(process)
    assert sorted(queue.get_nowait() for _ in range(workers + 1)) == list(range(workers + 1))


def test_defect_12_standard_library_says_empty_when_another_holds_the_lock() -> None:
    queue = multiprocessing.get_context("fork").Queue()
    queue.put("item")
    until(lambda: not queue.empty(), "the feeder has written it")
    with queue._rlock, pytest.raises(standard.Empty):  # type: ignore[attr-defined]
        queue.get_nowait()
    assert queue.get() == "item"
    queue.close()
    queue.join_thread()


def put_for_ever(queue: Any) -> None:
    while True:
        queue.put(b"x" * random.choice((10, 10_000, 400_000)))


def get_for_ever(queue: Any) -> None:
    while True:
        queue.get()


def stopped(pid: int) -> bool:
    with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123
        return file.read().rpartition(")")[2].split()[0] == "T"


# A call that may not block bears with a lock's stopped holder for a second; the machine may be busy.
PATIENCE = 5.0


@pytest.mark.parametrize("wait", [None, 0.0, 0.05])
def test_defect_13_get_is_bounded_though_a_producer_is_stopped_anywhere(wait: float | None) -> None:
    queue: conveyor.Queue[bytes] = conveyor.Queue(10)
    with crew() as members:
        members.append(
            multiprocessing.get_context("fork").Process(target=put_for_ever, args=(queue,), daemon=True)
        )
        members[0].start()
        pid = members[0].pid or 0
        for _ in range(30):
            queue.get(timeout=30)
            time.sleep(random.random() * 0.003)  # a random moment is the point
            os.kill(pid, signal.SIGSTOP)
            until(lambda: stopped(pid), "it is stopped")
            start = time.monotonic()
            with pytest.raises(standard.Empty):
                while True:
                    queue.get_nowait() if wait is None else queue.get(True, wait)
                    start = time.monotonic()
            assert time.monotonic() - start < PATIENCE
            os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("wait", [None, 0.0, 0.05])
def test_defect_13_calls_are_bounded_though_a_consumer_is_stopped_anywhere(wait: float | None) -> None:
    queue: conveyor.Queue[bytes] = conveyor.Queue(10)
    with crew() as members:
        members.append(
            multiprocessing.get_context("fork").Process(target=get_for_ever, args=(queue,), daemon=True)
        )
        members[0].start()
        pid = members[0].pid or 0
        for _ in range(30):
            for size in (10, 10_000, 400_000):
                queue.put(b"x" * size, timeout=30)
            time.sleep(random.random() * 0.001)  # a random moment is the point
            os.kill(pid, signal.SIGSTOP)
            until(lambda: stopped(pid), "it is stopped")
            for call, error in (
                (lambda: queue.put(b"", True, wait or 0), standard.Full),
                (queue.get_nowait, standard.Empty),
            ):
                start = time.monotonic()
                with pytest.raises(error):
                    while True:
                        call()
                        start = time.monotonic()
                assert time.monotonic() - start < PATIENCE
            os.kill(pid, signal.SIGCONT)


def test_defect_13_standard_library_waits_for_the_rest_of_a_frame() -> None:
    queue = multiprocessing.get_context("fork").Queue()
    os.write(queue._writer.fileno(), (100).to_bytes(4, "big") + b"not a hundred bytes")
    outcome: list[type[BaseException]] = []

    def get() -> None:
        try:
            queue.get(timeout=0.05)
        except Exception as error:
            outcome.append(type(error))

    thread = threading.Thread(target=get)
    thread.start()
    thread.join(1)
    assert thread.is_alive()
    os.write(queue._writer.fileno(), b"." * 81)
    thread.join()
    assert outcome[0] is not standard.Empty


def put_some(queue: Any, count: int) -> None:
    for number in range(count):
        queue.put(number)


def get_some(queue: Any, count: int) -> None:
    for _ in range(count):
        queue.get()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", METHODS)
def test_defect_14_qsize_is_exact(method: str, kind: Any) -> None:
    context, queue = multiprocessing.get_context(method), kind()
    with crew() as members:
        for target, count in ((put_some, 700), (put_some, 600), (get_some, 300), (get_some, 1)):
            members.append(context.Process(target=target, args=(queue, count)))
            members[-1].start()
        for process in members:
            finish(process)
    assert queue.qsize() == 999
    queue.put_many(range(501))
    assert queue.qsize() == 1500
    for left in range(1499, -1, -1):
        queue.get_nowait()
        assert queue.qsize() == left


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "maxsize", [32767, 32768, 2**31 - 1, 2**31, 2**32, 2**62, 2**63 - 1, 2**63, 2**64, 10**30]
)
def test_defect_15_any_maxsize(kind: Any, maxsize: int) -> None:
    queue = kind(maxsize)
    queue.put_many(range(1000))
    assert not queue.full()
    assert queue.get_many(2000) == list(range(1000))


def test_defect_15_unbounded_is_unbounded() -> None:
    queue: conveyor.Queue[int] = conveyor.Queue()
    for number in range(100_000):  # beyond the 32767 that semaphores count to on some systems
        queue.put_nowait(number)
    assert not queue.full()
    assert queue.qsize() == 100_000


def test_defect_15_nonsense_is_named() -> None:
    for maxsize in (1.5, "3", None):
        with pytest.raises(TypeError, match="maxsize"):
            conveyor.Queue(maxsize)  # type: ignore[arg-type]


def test_defect_15_standard_library_overflows() -> None:
    with pytest.raises((OverflowError, OSError)):
        multiprocessing.get_context("fork").Queue(2**31)
