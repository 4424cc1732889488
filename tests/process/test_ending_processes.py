"""Endings across processes: defects 1, 2, 9, 10, 16 and 22 where they concern how a stream ends."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import Counter
from typing import Any

import pytest
from helpers import METHODS, crew, finish, python, soundly_asleep, until
from streams import collect, produce

from conveyor import JoinableQueue, Queue, ShutDown

methods = pytest.mark.parametrize("method", METHODS)
how = pytest.mark.parametrize("immediate", [False, True])


# -- without sentinels ---------------------------------------------------------------------------------


@methods
@pytest.mark.parametrize("bounds", [{}, {"maxsize": 7}, {"max_bytes": 300_000}], ids=str)
def test_defect_16_many_producers_and_many_consumers_without_a_sentinel(
    method: str, bounds: dict[str, int]
) -> None:
    context = multiprocessing.get_context(method)
    queue: Queue[Any] = Queue(**bounds)
    told: Queue[Any] = Queue()
    queue.expect_producers(4)
    with crew() as members:
        for batch in (1, 1, 10):
            members.append(context.Process(target=collect, args=(queue, told, batch)))
        for number in range(4):
            members.append(context.Process(target=produce, args=(queue, number, 300)))
        for member in members:
            member.start()
        for member in members:
            finish(member)
    total: Counter[int] = Counter()
    for _ in range(3):
        _, counts, lost = told.get(timeout=1)
        assert lost is None
        total += counts
    assert total == dict.fromkeys(range(4), 300)
    assert queue.is_shutdown
    assert queue._check() == ""


def test_defect_16_a_producer_may_come_late_and_leave_early() -> None:
    context = multiprocessing.get_context("fork")
    queue: Queue[Any] = Queue()
    told: Queue[Any] = Queue()
    queue.expect_producers(3)
    with crew() as members:
        members.append(context.Process(target=collect, args=(queue, told)))
        members[0].start()
        for number in range(3):
            assert not queue.is_shutdown
            producer = context.Process(target=produce, args=(queue, number, 10))
            members.append(producer)
            producer.start()
            finish(producer)  # gone before the next one comes
        finish(members[0])
    assert told.get(timeout=1)[1] == {0: 10, 1: 10, 2: 10}


def test_defect_16_standard_library_tells_nobody() -> None:
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    with crew() as members:
        members.append(context.Process(target=queue.get))
        members[0].start()
        pid = members[0].pid or 0
        until(lambda: soundly_asleep(pid), "it waits for an item")
        queue.put(1)
        finish(members[0])
        members.append(context.Process(target=queue.get))
        members[1].start()
        pid = members[1].pid or 0
        until(lambda: soundly_asleep(pid), "it waits for an item")
        queue.close()  # concerns this process alone
        queue.join_thread()
        assert soundly_asleep(pid)


def inside_and_fork(queue: Any, told: Any) -> None:
    with queue.producing():
        queue.put("parent")
        child = os.fork()
        if child == 0:
            queue.put("child, who is none of the producers")
        else:
            _, status = os.waitpid(child, 0)
            told.put((status, queue.is_shutdown))
            queue.put("parent again")
    # Both come here; the child has left a block that is not its own.
    if child == 0:
        os._exit(7 if queue.is_shutdown else 0)


def test_defect_16_a_fork_inside_does_not_count_twice() -> None:
    queue: Queue[str] = Queue()
    told: Queue[Any] = Queue()
    queue.expect_producers(1)
    with crew() as members:
        members.append(
            multiprocessing.get_context("fork").Process(target=inside_and_fork, args=(queue, told))
        )
        members[0].start()
        assert list(queue) == ["parent", "child, who is none of the producers", "parent again"]
        assert told.get(timeout=1) == (0, False)
        finish(members[0])


# -- shutdown for all ----------------------------------------------------------------------------------


def tell_the_end_of(call: str, queue: Any, told: Any) -> None:
    told.put(os.getpid())
    try:
        result = {"get": queue.get, "put": lambda: queue.put("no room"), "join": queue.join}[call]()
    except ShutDown:
        told.put("ShutDown")
    else:
        told.put(result)


@methods
@how
def test_defect_16_shutdown_reaches_all_who_are_blocked(method: str, immediate: bool) -> None:
    context = multiprocessing.get_context(method)
    empty: JoinableQueue[str] = JoinableQueue()
    full: JoinableQueue[str] = JoinableQueue(1)
    told: Queue[Any] = Queue()
    full.put("an item")
    with crew() as members:
        for call, queue in (("get", empty), ("get", empty), ("put", full), ("put", full), ("join", full)):
            members.append(context.Process(target=tell_the_end_of, args=(call, queue, told)))
            members[-1].start()
        for pid in [told.get(timeout=60) for _ in members]:
            until(lambda pid=pid: soundly_asleep(pid), "it blocks")
        empty.shutdown(immediate)
        full.shutdown(immediate)
        if not immediate:
            assert [told.get(timeout=30) for _ in range(4)] == ["ShutDown"] * 4
            assert full.get(timeout=1) == "an item"
            full.task_done()
            assert told.get(timeout=30) is True
        else:
            assert Counter(told.get(timeout=30) for _ in members) == {"ShutDown": 4, True: 1}
        for member in members:
            finish(member)
    assert full.join(timeout=0)


def shut_down(queue: Any, immediate: bool) -> None:
    queue.shutdown(immediate)


@methods
def test_defect_16_a_child_may_be_the_one_to_shut_down(method: str) -> None:
    context = multiprocessing.get_context(method)
    queue: Queue[int] = Queue()
    queue.put_many([1, 2])
    with crew() as members:
        members.append(context.Process(target=shut_down, args=(queue, False)))
        members[0].start()
        assert list(queue) == [1, 2]
        finish(members[0])


# -- Ctrl-C --------------------------------------------------------------------------------------------

INTERRUPTED = """
import os, signal, sys, threading
import conveyor
from helpers import until
kind = sys.argv[1]
queue = conveyor.Queue(1)
queue.expect_producers(1)
main = threading.main_thread().native_id
def interrupt():
    path = f"/proc/self/task/{main}/stat"
    count = 0
    def sleeps():
        nonlocal count
        count = count + 1 if open(path).read().rpartition(")")[2].split()[0] == "S" else 0
        return count > 10
    until(sleeps, "it blocks")
    os.kill(os.getpid(), signal.SIGINT)
thread = threading.Thread(target=interrupt)
try:
    if kind == "iteration":
        thread.start()
        for item in queue:
            print("received", item)
    else:
        with queue.producing():
            queue.put(1)
            thread.start()
            queue.put(2)
except KeyboardInterrupt:
    thread.join()
    print("interrupted", queue.is_shutdown, queue.qsize())
if kind == "iteration":
    with queue.producing():
        queue.put(3)
print(list(queue))
"""


@pytest.mark.parametrize(
    ("kind", "output"),
    [("iteration", "interrupted False 0\n[3]\n"), ("producing", "interrupted True 1\n[1]\n")],
)
def test_defect_22_ctrl_c_takes_no_item_and_leaves_the_block(kind: str, output: str) -> None:
    done = python(INTERRUPTED, kind)
    assert (done.stdout, done.stderr) == (output, "")


def ignore_nothing_and_collect(queue: Any, told: Any) -> None:
    told.put(os.getpid())
    try:
        for item in queue:
            told.put(item)
    except KeyboardInterrupt:
        told.put("interrupted")


@methods
def test_defect_22_an_interrupted_consumer_leaves_the_stream_to_the_others(method: str) -> None:
    context = multiprocessing.get_context(method)
    queue: Queue[str] = Queue()
    told: Queue[Any] = Queue()
    with crew() as members, queue.producing():
        members.append(context.Process(target=ignore_nothing_and_collect, args=(queue, told)))
        members[0].start()
        pid = told.get(timeout=60)
        until(lambda: soundly_asleep(pid), "it waits")
        os.kill(pid, signal.SIGINT)
        assert told.get(timeout=30) == "interrupted"
        finish(members[0])
        queue.put("for others")
    assert list(queue) == ["for others"]
