"""Leases whose holders die: promise "an item under lease is never lost"; defects 1, 8 and 9."""

from __future__ import annotations

import multiprocessing
import os
import queue as standard
import random
import select
import signal
import time
from collections import Counter
from typing import Any

import pytest
from helpers import METHODS, crew, finish, soundly_asleep, until

from conveyor import DeadLetter, JoinableQueue, Queue, ShutDown

methods = pytest.mark.parametrize("method", METHODS)
SECOND = 1.0
KILLED = -signal.SIGKILL


def hold(queue: Any, told: Any, count: int = 1) -> None:
    leases = queue.lease_many(count)
    told.put([lease.item for lease in leases])
    signal.pause()


def take(queue: Any, told: Any) -> None:
    told.put(queue.get())
    signal.pause()


def holder(queue: Any, method: str, *arguments: Any, work: Any = hold) -> Any:
    process = multiprocessing.get_context(method).Process(target=work, args=(queue, *arguments))
    process.start()
    return process


@methods
def test_a_dead_holders_items_come_back_within_a_second_and_in_order(method: str) -> None:
    queue: Queue[int] = Queue()
    told: Queue[list[int]] = Queue()
    queue.put_many(range(5))
    with crew() as members:
        members.append(holder(queue, method, told, 3))
        assert told.get(timeout=60) == [0, 1, 2]
        assert queue.get() == 3
        members[0].kill()
        start = time.monotonic()
        first = queue.lease(timeout=10)
        while first.item == 4:  # what nobody had was there before
            first.acknowledge()
            first = queue.lease(timeout=10)
        assert time.monotonic() - start < SECOND
        assert (first.item, first.attempts) == (0, 1)
        assert queue.get_many(10) in ([1, 2], [1, 2, 4])
    assert queue._check() == ""


def test_a_sleeping_getter_gets_it_within_a_second() -> None:
    queue: Queue[int] = Queue()
    told: Queue[Any] = Queue()
    queue.put(7)
    with crew() as members:
        members.append(holder(queue, "fork", told))
        told.get(timeout=60)
        members.append(holder(queue, "fork", told, work=take))
        until(lambda: soundly_asleep(members[1].pid or 0), "the getter sleeps")
        members[0].kill()
        start = time.monotonic()
        assert told.get(timeout=60) == 7
        assert time.monotonic() - start < SECOND


def test_who_watches_with_select_and_looks_now_and_then_finds_it() -> None:
    queue: Queue[int] = Queue()
    told: Queue[Any] = Queue()
    queue.put(7)
    with crew() as members:
        members.append(holder(queue, "fork", told))
        told.get(timeout=60)
        assert not select.select([queue._reader], [], [], 0)[0]
        members[0].kill()
        members[0].join()
        until(lambda: not queue.empty(), "a look")
        assert select.select([queue._reader], [], [], 0)[0]
        assert queue.get_nowait() == 7


def test_a_stopped_holder_keeps_its_lease_until_its_time_is_over() -> None:
    queue: Queue[int] = Queue()
    told: Queue[Any] = Queue()
    queue.put(7)
    with crew() as members:
        members.append(holder(queue, "fork", told))
        told.get(timeout=60)
        os.kill(members[0].pid or 0, signal.SIGSTOP)
        with pytest.raises(standard.Empty):
            queue.get(timeout=1.2)
        members[0].kill()
        assert queue.get(timeout=SECOND) == 7


@methods
def test_killed_too_often_it_is_a_dead_letter(method: str) -> None:
    dead: Queue[DeadLetter[int]] = Queue()
    queue: Queue[int] = Queue(max_attempts=2, dead_letters=dead)
    told: Queue[Any] = Queue()
    queue.put(7)
    with crew() as members:
        for attempt in range(2):
            members.append(holder(queue, method, told))
            assert told.get(timeout=60) == [7]
            members[attempt].kill()
        with pytest.raises(standard.Empty):
            queue.get(timeout=SECOND)
        letter = dead.get(timeout=10)
        assert (letter.item, letter.attempts, letter.pid) == (7, 2, members[1].pid)
        assert "died" in letter.error


@methods
def test_defect_08_join_does_not_wait_for_a_consumer_that_died(method: str) -> None:
    queue: JoinableQueue[int] = JoinableQueue()
    told: Queue[Any] = Queue()
    queue.put_many(range(2))
    with crew() as members:
        members.append(holder(queue, method, told, work=take))
        assert told.get(timeout=60) == 0
        assert queue.get() == 1
        queue.task_done()
        assert not queue.join(timeout=0.2)
        members[0].kill()
        start = time.monotonic()
        assert queue.join(timeout=10)
        assert time.monotonic() - start < SECOND + 0.5


def test_the_end_waits_for_what_another_process_may_give_back() -> None:
    queue: Queue[int] = Queue()
    told: Queue[Any] = Queue()
    queue.put_many([1, 2])
    with crew() as members:
        members.append(holder(queue, "fork", told))
        assert told.get(timeout=60) == [1]
        queue.shutdown()
        assert queue.get() == 2
        with pytest.raises(standard.Empty):
            queue.get(timeout=0.1)
        members[0].kill()
        assert list(queue) == [1]


def _ends(queue: Any, told: Any) -> None:
    with queue.lease() as item:
        told.put(item)
        told._go.get()


class _Meeting:
    def __init__(self) -> None:
        self._reports: Queue[Any] = Queue()
        self._go: Queue[Any] = Queue()

    def put(self, item: Any) -> None:
        self._reports.put(item)


def test_the_last_acknowledgement_is_the_end_for_those_who_sleep() -> None:
    queue: Queue[int] = Queue()
    told = _Meeting()
    queue.put(1)
    with crew() as members:
        members.append(holder(queue, "fork", told, work=_ends))
        told._reports.get(timeout=60)
        queue.shutdown()
        with pytest.raises(standard.Empty):
            queue.get(timeout=0.05)
        told._go.put(None)
        with pytest.raises(ShutDown):
            queue.get(timeout=10)
        finish(members[0])


def _forks(queue: Any, told: Any) -> None:
    lease = queue.lease()
    child = os.fork()
    if child == 0:
        with lease:
            pass  # the parent's: nothing happens
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    told.put(queue.statistics().leased)
    lease.release()


def test_a_forked_child_does_not_settle_its_parents_lease() -> None:
    queue: Queue[int] = Queue()
    told: Queue[int] = Queue()
    queue.put(5)
    with crew() as members:
        members.append(holder(queue, "fork", told, work=_forks))
        assert told.get(timeout=60) == 1
        finish(members[0])
    assert queue.lease(timeout=5).attempts == 1


def _work(queue: Any, done: Any, seed: int) -> None:
    chance = random.Random(seed)
    while True:
        try:
            if chance.random() < 0.5:
                with queue.lease() as item:
                    if chance.random() < 0.1:
                        raise LookupError
                    done.put(item[0])
            else:
                with queue.lease_many(20) as items:
                    if chance.random() < 0.1:
                        raise LookupError
                    done.put_many([item[0] for item in items])
        except LookupError:
            continue
        except ShutDown:
            return


@methods
def test_under_random_kills_each_item_is_done_at_least_once(method: str) -> None:
    queue: Queue[Any] = Queue()
    done: Queue[int] = Queue()
    items = 3000
    queue.put_many([(i, bytes(i % 7 * 3000)) for i in range(items)])
    chance = random.Random(4)
    with crew() as members:
        for seed in range(3):
            members.append(holder(queue, method, done, seed, work=_work))
        for kill in range(12):
            until(lambda at=kill: done.qsize() > at * 150 or queue.empty(), "work goes on")  # type: ignore[misc]
            victim = chance.choice([each for each in members if each.is_alive()])
            victim.kill()
            members.append(holder(queue, method, done, kill + 10, work=_work))
        queue.shutdown()
        for member in members:
            member.join(60)
            assert member.exitcode in (0, KILLED)
    counts = Counter(done.get_many(10 * items))
    assert set(counts) == set(range(items))
    assert queue._check() == ""
    assert queue.statistics().leased == 0
