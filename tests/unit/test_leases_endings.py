"""Items under lease: dead letters, endings, tasks and coroutines."""

from __future__ import annotations

import asyncio
import queue as standard
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from callers import Caller, until
from leasing import Odd, fail

import conveyor
from conveyor import DeadLetter, JoinableQueue, Queue, ShutDown

QUEUES: tuple[Any, ...] = (Queue, JoinableQueue)
both = pytest.mark.parametrize("kind", QUEUES)


class Touchy:
    """Cannot be unpickled while `closed`."""

    closed = False

    def __init__(self, value: int) -> None:
        self.value = value

    def __reduce__(self) -> Any:
        return _touch, (self.value,)


def _touch(value: int) -> Touchy:
    if Touchy.closed:
        raise Odd("not now")
    return Touchy(value)


class TestDeadLetters:
    def test_after_so_many_attempts_with_its_history(self) -> None:
        import os

        dead: Queue[DeadLetter[str]] = Queue()
        queue: Queue[str] = Queue(max_attempts=3, dead_letters=dead)
        queue.put_many(["bad", "good"])
        for _ in range(3):
            assert fail(queue, ValueError("too odd")) == "bad"
        with queue.lease() as item:
            assert item == "good"
        assert dead.get(timeout=5) == DeadLetter("bad", 3, "ValueError: too odd", os.getpid())
        assert queue.statistics().dead == 0
        assert queue._check() == ""

    def test_without_a_queue_they_stay_and_are_counted(self) -> None:
        queue: Queue[int] = Queue(max_attempts=1)
        queue.put_many([1, 2])
        fail(queue, Odd())
        assert queue.statistics().dead == 1
        assert queue.get_many() == [2]

    def test_rejected_at_once(self) -> None:
        dead: Queue[DeadLetter[int]] = Queue()
        queue: Queue[int] = Queue(dead_letters=dead)
        queue.put(1)
        queue.lease().reject("no such user")
        letter = dead.get(timeout=5)
        assert (letter.item, letter.attempts, letter.error) == (1, 1, "no such user")

    def test_a_full_queue_of_them_is_tried_again(self) -> None:
        dead: Queue[DeadLetter[int]] = Queue(maxsize=1)
        queue: Queue[int] = Queue(dead_letters=dead, max_attempts=1)
        queue.put_many([1, 2])
        fail(queue, Odd())
        fail(queue, Odd())
        assert dead.get(timeout=5).item == 1

        def moved() -> bool:
            with pytest.raises(standard.Empty):
                queue.get_nowait()
            return not dead.empty()

        until(moved, "the other is moved, too")
        assert dead.get().item == 2

    def test_what_cannot_be_unpickled_is_an_attempt(self) -> None:
        queue: Queue[Touchy] = Queue(max_attempts=2)
        queue.put(Touchy(7))
        Touchy.closed = True
        try:
            with pytest.raises(Odd):
                queue.lease()
            Touchy.closed = False
            lease = queue.lease()
            assert (lease.item.value, lease.attempts) == (7, 1)
        finally:
            Touchy.closed = False


class TestItems:
    def test_arrays_are_copies(self) -> None:
        queue: Queue[Any] = Queue()
        queue.put(np.arange(100_000))
        lease = queue.lease()
        lease.item[:] = 0
        kept = lease.item
        lease.release()
        again = queue.lease()
        assert np.array_equal(again.item, np.arange(100_000))
        again.acknowledge()
        assert queue.statistics().memory_lent == 0
        assert kept.sum() == 0
        assert queue._check() == ""

    @pytest.mark.parametrize("size", [0, 100, 70_000, 3_000_000])
    def test_of_any_size_come_back_whole(self, size: int) -> None:
        queue: Queue[Any] = Queue()
        item = {"data": b"x" * size, "n": size}
        queue.put(item)
        for _ in range(3):
            fail(queue, Odd())
        assert queue.get_nowait() == item
        assert queue._check() == ""


class TestEndings:
    def test_a_drained_queue_is_not_at_its_end_while_others_have_a_lease(self) -> None:
        # Another process, as far as the queue is concerned: see tests/process for real ones.
        queue: Queue[int] = Queue()
        queue.put_many([1, 2])
        queue.shutdown()
        lease = queue.lease()
        assert list(queue) == [2]  # its own lease does not make a process wait for itself
        lease.release()
        assert list(queue) == [1]

    def test_a_delayed_item_is_waited_for(self) -> None:
        queue: Queue[int] = Queue()
        queue.put(1)
        queue.shutdown()
        queue.lease().release(delay=0.2)
        assert list(queue) == [1]

    def test_an_immediate_shutdown_drops_what_was_given_back(self) -> None:
        queue: JoinableQueue[int] = JoinableQueue()
        queue.put_many([1, 2, 3, 4])
        held, back, later = queue.lease_many(3)
        back.release()
        later.release(delay=0.01)
        queue.shutdown(immediate=True)
        assert queue.unfinished_tasks == 1
        with pytest.raises(ShutDown):
            queue.get_nowait()
        held.release()
        assert queue.join(timeout=5)
        assert queue.qsize() == 0
        assert queue._check() == ""

    def test_an_immediate_shutdown_drops_what_is_delayed(self) -> None:
        queue: JoinableQueue[int] = JoinableQueue()
        queue.put(1)
        queue.lease().release(delay=3600)
        joiner = Caller(queue.join).asleep()
        queue.shutdown(immediate=True)
        joiner.result()
        assert queue.unfinished_tasks == 0
        assert queue._check() == ""


class TestTasks:
    def test_join_waits_for_leases(self) -> None:
        queue: JoinableQueue[int] = JoinableQueue()
        queue.put(1)
        lease = queue.lease()
        assert not queue.join(timeout=0.05)
        joiner = Caller(queue.join).asleep()
        lease.acknowledge()
        joiner.result()

    def test_join_does_not_wait_for_what_failed_for_good(self) -> None:
        queue: JoinableQueue[int] = JoinableQueue(max_attempts=1)
        queue.put(1)
        fail(queue, Odd())
        assert queue.join(timeout=5)

    def test_a_returned_item_taken_by_get_is_a_task(self) -> None:
        queue: JoinableQueue[int] = JoinableQueue()
        queue.put_many([1, 2])
        fail(queue, Odd())
        queue.get()
        queue.get()
        queue.task_done()
        assert not queue.join(timeout=0.05)
        queue.task_done()
        assert queue.join(timeout=5)
        with pytest.raises(ValueError, match="task_done"):
            queue.task_done()


class TestCoroutines:
    def run(self, work: Callable[[], Any]) -> Any:
        return asyncio.run(asyncio.wait_for(work(), 20))

    def test_waits_acknowledges_and_gives_back(self) -> None:
        queue: Queue[int] = Queue()

        async def work() -> None:
            async def put() -> None:
                await asyncio.sleep(0)
                queue.put(1)

            putting = asyncio.create_task(put())
            with pytest.raises(Odd):
                async with queue.alease(timeout=10):
                    raise Odd
            await putting
            lease = await queue.alease()
            assert (lease.item, lease.attempts) == (1, 1)
            lease.release()
            async with queue.alease() as item:
                assert item == 1
            with pytest.raises(standard.Empty):
                await queue.alease(timeout=0.01)

        self.run(work)
        assert queue.empty()

    def test_cancelled_it_has_taken_nothing(self) -> None:
        queue: Queue[int] = Queue()

        async def hold() -> None:
            async with queue.alease():
                await asyncio.Event().wait()

        async def work() -> None:
            waiting = asyncio.create_task(hold())
            await asyncio.sleep(0)
            waiting.cancel()
            queue.put(1)
            holding = asyncio.create_task(hold())
            while not queue.empty():
                await asyncio.sleep(0)
            holding.cancel()
            await asyncio.gather(waiting, holding, return_exceptions=True)

        self.run(work)
        assert queue.lease().attempts == 1

    def test_a_delayed_item_and_the_end_wake_it(self) -> None:
        queue: Queue[int] = Queue()
        queue.put(1)

        async def work() -> None:
            (await queue.alease()).release(delay=0.1)
            queue.shutdown()
            held = await queue.alease()
            ended = asyncio.create_task(queue.aget())
            await asyncio.sleep(0)
            with pytest.raises(ShutDown):
                await ended
            held.acknowledge()

        self.run(work)


def test_a_named_queue_says_its_bounds_once() -> None:
    name = f"shm://lease-test-{time.monotonic_ns()}"
    dead: Queue[DeadLetter[int]] = Queue()
    queue = conveyor.connect(name, create=True, max_attempts=1, dead_letters=dead)
    try:
        other = conveyor.connect(name, create=False)
        queue.put(1)
        fail(other, Odd())
        with pytest.raises(standard.Empty):
            queue.get_nowait()
        assert dead.get(timeout=5).item == 1
    finally:
        conveyor.remove(name)


def test_unfinished_tasks_counts_what_waits_and_what_was_taken() -> None:
    queue: JoinableQueue[int] = JoinableQueue()
    queue.put_many(range(3))
    for taken in range(3):
        assert queue.unfinished_tasks == 3
        assert queue.get() == taken
    for done in range(1, 4):
        queue.task_done()
        assert queue.unfinished_tasks == 3 - done
