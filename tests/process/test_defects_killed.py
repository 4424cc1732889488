"""Defects 1, 2 and 10: processes killed at random moments, and what becomes of the others and the items."""

from __future__ import annotations

import array
import fcntl
import multiprocessing
import os
import queue as standard
import random
import signal
import termios
import time
from pathlib import Path
from typing import Any

import pytest
from helpers import METHODS, Mill, asleep, crew, finish, soundly_asleep, until

import conveyor

# How many processes each test kills: a fork takes milliseconds, a spawn a tenth of a second and more.
KILLS = {"fork": 100, "spawn": 16, "forkserver": 40}


def in_pipe(fd: int) -> int:
    """Bytes waiting in a kernel pipe."""
    count = array.array("i", [0])
    fcntl.ioctl(fd, termios.FIONREAD, count)
    return count[0]


@pytest.fixture
def bounds(request: pytest.FixtureRequest) -> dict[str, int]:
    return {"items": {"maxsize": 20}, "bytes": {"max_bytes": 400_000}, "none": {}}[request.param]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("bounds", ["items", "bytes"], indirect=True)
def test_defect_01_killed_producers_harm_nobody(method: str, bounds: dict[str, int], tmp_path: Path) -> None:
    queue: conveyor.Queue[Any] = conveyor.Queue(**bounds)
    mill = Mill(multiprocessing.get_context(method), queue, tmp_path, seed=101)
    mill.run(("producer",), KILLS[method] // 2)
    mill.check()
    assert mill.killed == {"producer": KILLS[method] // 2, "consumer": 0}


def test_defect_01_standard_library_keeps_the_dead_ones_lock() -> None:
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    with crew() as members:
        producer = context.Process(target=queue.put, args=(b"x" * 1_000_000,))
        members.append(producer)
        producer.start()
        until(lambda: in_pipe(queue._reader.fileno()) >= 32768 and asleep(producer.pid or 0), "it blocks")
        producer.kill()
        producer.join()
        assert not queue._wlock.acquire(timeout=0.1)  # type: ignore[attr-defined]


@pytest.mark.parametrize("method", METHODS)
def test_defect_02_killed_consumers_harm_nobody(method: str, tmp_path: Path) -> None:
    queue: conveyor.Queue[Any] = conveyor.Queue(maxsize=20)
    mill = Mill(multiprocessing.get_context(method), queue, tmp_path, seed=102)
    mill.run(("consumer",), KILLS[method], consumers=3)
    mill.check()


def take_and_tell(queue: Any, told: Any) -> None:
    told.put(("waiting", os.getpid()))
    told.put(("taken", queue.get()))


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("method", METHODS)
def test_defect_02_idle_consumers_may_be_killed(method: str, stop: signal.Signals) -> None:
    context = multiprocessing.get_context(method)
    queue: conveyor.Queue[str] = conveyor.Queue()
    told: conveyor.Queue[Any] = conveyor.Queue()
    with crew() as members:
        for _ in range(3):
            members.append(context.Process(target=take_and_tell, args=(queue, told)))
            members[-1].start()
        for _ in members:
            assert told.get(timeout=30)[0] == "waiting"
        for victim in members[:2]:
            until(lambda victim=victim: soundly_asleep(victim.pid), "it waits in get()")
            os.kill(victim.pid or 0, stop)
            victim.join()
        queue.put("item")
        assert told.get(timeout=30) == ("taken", "item")
        finish(members[2])
    queue.put("another")
    assert queue.get(timeout=1) == "another"


def test_defect_02_standard_library_starves_after_an_idle_consumers_death() -> None:
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    with crew() as members:
        consumer = context.Process(target=queue.get)
        members.append(consumer)
        consumer.start()
        until(lambda: not queue._rlock.acquire(False) or queue._rlock.release(), "it waits in get()")  # type: ignore[attr-defined,func-returns-value]
        consumer.kill()
        consumer.join()
    queue.put("item")
    until(lambda: not queue.empty(), "the item is in the pipe")
    with pytest.raises(standard.Empty):
        queue.get(timeout=0.2)
    queue._rlock.release()  # type: ignore[attr-defined]
    assert queue.get(timeout=5) == "item"


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("bounds", ["none", "items"], indirect=True)
@pytest.mark.parametrize("batch", [1, 7])
def test_defect_10_everybody_may_be_killed(
    method: str, bounds: dict[str, int], batch: int, tmp_path: Path
) -> None:
    queue: conveyor.Queue[Any] = conveyor.Queue(**bounds)
    mill = Mill(multiprocessing.get_context(method), queue, tmp_path, batch, seed=110 + batch)
    mill.run(("producer", "consumer"), KILLS[method] // 2)
    mill.check()


def put_and_vanish(queue: Any, count: int, how: str) -> None:
    for number in range(count):
        queue.put((number, b"x" * (number % 5000)))
    if how == "exit":
        os._exit(0)
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("how", ["exit", "kill"])
@pytest.mark.parametrize("method", METHODS)
def test_defect_10_what_was_put_survives_its_process(method: str, how: str) -> None:
    queue: conveyor.Queue[tuple[int, bytes]] = conveyor.Queue()
    process = multiprocessing.get_context(method).Process(target=put_and_vanish, args=(queue, 1000, how))
    process.start()
    process.join(30)
    assert process.exitcode == (0 if how == "exit" else -signal.SIGKILL)
    assert [queue.get_nowait() for _ in range(1000)] == [(n, b"x" * (n % 5000)) for n in range(1000)]
    assert queue.empty()


def put_and_wait(queue: Any, forever: Any) -> None:
    for number in range(1000):
        queue.put(number)
    forever.get()


@pytest.mark.parametrize("method", METHODS)
def test_defect_10_what_a_terminated_daemon_put_is_there(method: str) -> None:
    queue: conveyor.Queue[int] = conveyor.Queue()
    forever: conveyor.Queue[int] = conveyor.Queue()
    with crew() as members:
        process = multiprocessing.get_context(method).Process(
            target=put_and_wait, args=(queue, forever), daemon=True
        )
        members.append(process)
        process.start()
        until(lambda: queue.qsize() == 1000, "all are put")
        process.terminate()
        process.join()
    assert queue.get_many(2000) == list(range(1000))


def put_large_and_exit(queue: Any) -> None:
    for _ in range(4):
        queue.put(b"x" * 1_000_000)
    os._exit(0)


def test_defect_10_standard_library_loses_them() -> None:
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    process = context.Process(target=put_large_and_exit, args=(queue,))
    process.start()
    finish(process)
    assert in_pipe(queue._reader.fileno()) <= 65536  # of four million


def send_for_ever(end: Any, other: Any) -> None:
    other.close()
    number = 0
    while True:
        number += 1
        end.send((number, bytes([number % 251]) * (300_000 if number % 3 == 0 else 50)))


@pytest.mark.parametrize("duplex", [False, True])
def test_defect_01_a_pipes_killed_sender_leaves_whole_messages_and_then_eof(duplex: bool) -> None:
    context = multiprocessing.get_context("fork")
    moments = random.Random(3)
    for _ in range(40):
        receiving, sending = conveyor.Pipe(duplex)
        with crew() as members:
            process = context.Process(target=send_for_ever, args=(sending, receiving), daemon=True)
            members.append(process)
            process.start()
            sending.close()
            expected = 1
            kill_at = moments.randrange(1, 40)
            with pytest.raises(EOFError):
                while True:
                    if expected == kill_at:
                        time.sleep(moments.random() * 0.002)  # a random moment is the point
                        process.kill()
                    number, data = receiving.recv()
                    assert (number, data) == (
                        expected,
                        bytes([expected % 251]) * (300_000 if expected % 3 == 0 else 50),
                    )
                    expected += 1
            assert expected >= kill_at
        receiving.close()


def receive_for_ever(end: Any, other: Any) -> None:
    other.close()
    while True:
        end.recv()


def test_defect_01_a_pipes_killed_receiver_is_a_broken_pipe() -> None:
    context = multiprocessing.get_context("fork")
    for _ in range(20):
        receiving, sending = conveyor.Pipe(False)
        with crew() as members:
            process = context.Process(target=receive_for_ever, args=(receiving, sending), daemon=True)
            members.append(process)
            process.start()
            receiving.close()
            for number in range(20):
                sending.send((number, b"x" * 100_000))
            until(lambda process=process: asleep(process.pid), "all are received")
            process.kill()
            process.join()
            with pytest.raises(BrokenPipeError):
                for _ in range(1000):  # more than the pipe holds
                    sending.send(b"x" * 100_000)
        sending.close()
