"""Producers that die inside `producing()`: defects 1, 2, 9 and 10 where they concern how a stream ends."""

from __future__ import annotations

import multiprocessing
import os
import queue as standard
import signal
import time
from collections import Counter
from typing import Any

import pytest
from helpers import METHODS, crew, finish, soundly_asleep, until
from streams import collect, produce

import conveyor
from conveyor import ProducerLost, Queue, ShutDown

methods = pytest.mark.parametrize("method", METHODS)
how = pytest.mark.parametrize("immediate", [False, True])
SECOND = 1.0


def wait_inside(queue: Any, count: int, at: Any) -> None:
    """Enter, put, and stay."""
    with queue.producing():
        for i in range(count):
            queue.put((0, i, b""))
        at.put(os.getpid())
        at._never_comes.get()


class Meeting:
    """A queue to report to, and one from which nothing ever comes."""

    def __init__(self) -> None:
        self._reports: Queue[int] = Queue()
        self._never_comes: Queue[None] = Queue()

    def put(self, pid: int) -> None:
        self._reports.put(pid)

    def get(self) -> int:
        return self._reports.get(timeout=60)


def enter_below(queue: Any, told: Any) -> None:
    """A child that was forked inside, and is a producer of its own."""
    with queue.producing():
        child = os.fork()
        if child == 0:
            with queue.producing():
                queue.put("child")
                told.put(os.getpid())
                signal.pause()
        told.get()
        queue.put("parent")
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def test_defect_09_a_child_forked_inside_may_be_a_producer_and_be_lost() -> None:
    queue: Queue[str] = Queue()
    told: Queue[int] = Queue()
    queue.expect_producers(2)
    with crew() as members:
        members.append(multiprocessing.get_context("fork").Process(target=enter_below, args=(queue, told)))
        members[0].start()
        received = []
        with pytest.raises(ProducerLost) as raised:
            for item in queue:
                received.append(item)
        assert received == ["child", "parent"]
        assert raised.value.items == 1
        assert raised.value.pid != members[0].pid
        finish(members[0])


@methods
def test_defect_09_sleeping_consumers_hear_of_a_killed_producer_within_a_second(method: str) -> None:
    context = multiprocessing.get_context(method)
    best = 60.0
    for _ in range(3):  # the machine may be busy: one of three must be in time
        queue: Queue[Any] = Queue()
        told: Queue[Any] = Queue()
        at = Meeting()
        with crew() as members:
            for batch in (1, 10):
                members.append(context.Process(target=collect, args=(queue, told, batch)))
                members[-1].start()
            producer = context.Process(target=wait_inside, args=(queue, 5, at))
            members.append(producer)
            producer.start()
            pid = at.get()
            until(queue.empty, "all is taken")
            for member in members:
                until(lambda member=member: soundly_asleep(member.pid), "it sleeps")
            os.kill(pid, signal.SIGKILL)
            killed = time.monotonic()
            heard = [told.get(timeout=60) for _ in range(2)]
            best = min(best, time.monotonic() - killed)
            for _, _, lost in heard:
                assert (lost.pid, lost.items, lost.others) == (pid, 5, 0)
                # Nobody has waited for it yet, unless a fork server did: its signal is there for all to see.
                assert lost.signal == signal.SIGKILL or (method == "forkserver" and lost.signal is None)
            assert sum(counts[0] for _, counts, _ in heard) == 5
            for member in members[:2]:
                finish(member)
            assert queue.is_shutdown
            with pytest.raises(ProducerLost):
                queue.get_nowait()
            with pytest.raises(ShutDown):
                queue.put(1)
        if best < SECOND:
            return
    pytest.fail(f"it took {best:.2f} s")


@methods
def test_defect_10_what_a_lost_producer_put_comes_before_the_news(method: str) -> None:
    context = multiprocessing.get_context(method)
    queue: Queue[Any] = Queue()
    at = Meeting()
    with crew() as members:
        producer = context.Process(target=wait_inside, args=(queue, 1000, at))
        members.append(producer)
        producer.start()
        at.get()
        producer.kill()
        producer.join()
        received = []
        with pytest.raises(ProducerLost) as raised:
            for _, i, _ in queue:
                received.append(i)
        assert received == list(range(1000))
        assert (raised.value.pid, raised.value.items) == (producer.pid, 1000)
        assert raised.value.signal is None, "its parent has its exit code, and nobody else can ask"


def put_without_end(queue: Any, number: int, begun: Any) -> None:
    with queue.producing():
        begun.put(number)
        for i in range(1 << 60):
            queue.put((number, i, b"x" * (i % 40)))


@methods
def test_defect_01_the_others_go_on_to_their_own_end(method: str) -> None:
    context = multiprocessing.get_context(method)
    queue: Queue[Any] = Queue(20)
    told: Queue[Any] = Queue()
    begun: Queue[int] = Queue()
    queue.expect_producers(6)
    with crew() as members:
        victims = [context.Process(target=put_without_end, args=(queue, n, begun)) for n in range(3)]
        others = [context.Process(target=produce, args=(queue, n, 500)) for n in range(3, 6)]
        consumers = [context.Process(target=collect, args=(queue, told)) for _ in range(2)]
        members += victims + others + consumers
        for member in victims + consumers:
            member.start()
        for _ in victims:
            begun.get(timeout=60)
        for member in others:
            member.start()
        pids = [victim.pid for victim in victims]
        for victim in victims:
            victim.kill()
            victim.join()
        for member in others + consumers:
            finish(member)
    total: Counter[int] = Counter()
    for _ in consumers:
        _, counts, lost = told.get(timeout=1)
        assert lost.pid in pids
        assert lost.others == 2
        total += counts
    assert [total[n] for n in range(3, 6)] == [500] * 3, "nothing of the others' is missing"
    assert lost.items == total[pids.index(lost.pid)]
    assert queue._check() == ""


@methods
def test_defect_02_killed_consumers_do_not_keep_a_stream_from_its_end(method: str) -> None:
    context = multiprocessing.get_context(method)
    queue: Queue[Any] = Queue()
    told: Queue[Any] = Queue()
    with crew() as members:
        with queue.producing():
            for _ in range(3):
                members.append(context.Process(target=collect, args=(queue, told)))
                members[-1].start()
            for member in members:
                until(lambda member=member: soundly_asleep(member.pid), "it waits")
            for victim in members[:2]:
                victim.kill()
                victim.join()
            queue.put((0, 0, b""))
        finish(members[2])
    assert told.get(timeout=1)[1:] == ({0: 1}, None)


def test_defect_09_standard_library_waits_for_the_dead() -> None:
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    with crew() as members:
        members.append(context.Process(target=queue.get))
        members.append(context.Process(target=time.sleep, args=(60,)))  # the producer
        for member in members:
            member.start()
        members[1].kill()
        members[1].join()
        until(lambda: soundly_asleep(members[0].pid or 0), "it waits all the same")


def wait_inside_named(url: str) -> None:
    with conveyor.connect(url).producing() as queue:
        queue.put("an item")
        signal.pause()


def test_defect_09_unrelated_processes_on_a_named_queue() -> None:
    url = f"shm://ending-processes-{os.getpid()}"
    queue = conveyor.connect(url, create=True)
    try:
        with crew() as members:
            context = multiprocessing.get_context("spawn")
            members.append(context.Process(target=wait_inside_named, args=(url,)))
            members[0].start()
            assert queue.get(timeout=60) == "an item"
            with pytest.raises(standard.Empty):
                queue.get_nowait()
            members[0].kill()
            with pytest.raises(ProducerLost) as raised:
                queue.get(timeout=30)
            assert raised.value.pid == members[0].pid
        late = conveyor.connect(url, create=False)
        with pytest.raises(ProducerLost):
            late.get_nowait()
    finally:
        conveyor.remove(url)
