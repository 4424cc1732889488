"""Streams that end by themselves, with threads: iteration, and registered producers."""

from __future__ import annotations

import pickle
import queue as standard
from contextvars import copy_context
from typing import Any

import pytest
from callers import Caller

from conveyor import JoinableQueue, ProducerLost, Queue, ShutDown, SimpleQueue

QUEUES: tuple[Any, ...] = (Queue, JoinableQueue)
both = pytest.mark.parametrize("kind", QUEUES)
every = pytest.mark.parametrize("kind", [*QUEUES, SimpleQueue])
how = pytest.mark.parametrize("immediate", [False, True])


class TestIteration:
    @every
    def test_ends_when_shut_down_and_drained(self, kind: Any) -> None:
        queue = kind()
        for item in (1, None, "x"):
            queue.put(item)
        queue.shutdown()
        assert list(queue) == [1, None, "x"]
        assert list(queue) == []

    def test_takes_one_item_at_a_time(self) -> None:
        queue: Queue[int] = Queue()
        queue.put_many(range(3))
        assert next(iter(queue)) == 0
        assert queue.qsize() == 2

    def test_waits_for_more(self) -> None:
        queue: Queue[int] = Queue()
        reader = Caller(list, queue).asleep()
        queue.put(1)
        reader.asleep()
        queue.put(2)
        queue.shutdown()
        assert reader.result() == [1, 2]

    @every
    def test_in_is_refused(self, kind: Any) -> None:
        queue = kind()
        queue.put(1)
        with pytest.raises(TypeError):
            1 in queue  # noqa: B015
        assert not queue.empty()

    def test_of_what_ends_by_an_immediate_shutdown(self) -> None:
        queue: Queue[int] = Queue()
        queue.put_many(range(10))
        seen = []
        for item in queue:
            seen.append(item)
            if item == 3:
                queue.shutdown(immediate=True)
        assert seen == [0, 1, 2, 3]

    def test_none_is_still_a_fine_sentinel(self) -> None:
        queue: Queue[int | None] = Queue()
        with queue.producing():
            queue.put_many([1, 2, None])
            assert list(iter(queue.get, None)) == [1, 2]
            assert not queue.is_shutdown


class TestProducing:
    @every
    def test_the_last_to_leave_ends_the_queue(self, kind: Any) -> None:
        queue = kind()
        with queue.producing() as it:
            assert it is queue
            queue.put(1)
            with queue.producing():
                queue.put(2)
            assert not queue.is_shutdown
        assert queue.is_shutdown
        assert list(queue) == [1, 2]
        with pytest.raises(ShutDown):
            queue.put(3)

    def test_waits_for_those_who_are_expected(self) -> None:
        queue: Queue[int] = Queue()
        queue.expect_producers(2)
        with queue.producing(), queue.producing():  # of one thread: one producer
            queue.put(1)
        assert not queue.is_shutdown
        with pytest.raises(standard.Empty):
            queue.get_many(10, block=False) and queue.get_nowait()

        def other() -> None:
            with queue.producing():
                queue.put(2)

        Caller(other).result()
        assert queue.is_shutdown
        assert list(queue) == [2]

    def test_threads_of_one_process(self) -> None:
        queue: Queue[tuple[int, int]] = Queue(5)

        def write(number: int) -> None:
            with queue.producing():
                for i in range(50):
                    queue.put((number, i))

        queue.expect_producers(8)
        readers = [Caller(list, queue) for _ in range(3)]
        for writer in [Caller(write, number) for number in range(8)]:
            writer.result()
        got = sorted(item for reader in readers for item in reader.result())
        assert got == [(number, i) for number in range(8) for i in range(50)]

    def test_another_task_of_the_thread_is_a_producer_of_its_own(self) -> None:
        # As asyncio runs its tasks, each in a context of its own; here they overlap.
        queue: Queue[int] = Queue()
        queue.expect_producers(2)
        first, second = queue.producing(), queue.producing()
        one, two = copy_context(), copy_context()
        one.run(first.__enter__)
        two.run(second.__enter__)
        one.run(first.__exit__, None, None, None)
        assert not queue.is_shutdown
        two.run(second.__exit__, None, None, None)
        assert queue.is_shutdown

    def test_two_queues_are_strangers(self) -> None:
        one: Queue[int] = Queue()
        two: Queue[int] = Queue()
        for queue in (one, two):
            queue.expect_producers(1)
        with one.producing(), two.producing():
            pass
        assert one.is_shutdown
        assert two.is_shutdown

    def test_two_handles_are_one_queue(self) -> None:
        queue: Queue[int] = Queue()
        other = pickle.loads(pickle.dumps(queue))
        queue.expect_producers(2)
        with queue.producing(), other.producing():
            pass
        assert not queue.is_shutdown
        other.expect_producers(0)
        assert queue.is_shutdown
        queue.close()

    def test_nobody_expected_and_nobody_inside_is_the_end(self) -> None:
        queue: Queue[int] = Queue()
        getter = Caller(queue.get).asleep()
        queue.expect_producers(0)
        with pytest.raises(ShutDown):
            getter.result()

    def test_a_block_left_by_an_exception_is_left(self) -> None:
        queue: Queue[int] = Queue()
        with pytest.raises(ZeroDivisionError), queue.producing():
            raise ZeroDivisionError
        assert list(queue) == []

    def test_after_the_end_nobody_may_enter(self) -> None:
        queue: Queue[int] = Queue()
        queue.shutdown()
        with pytest.raises(ShutDown), queue.producing():
            pytest.fail("entered")
        with pytest.raises(ShutDown):
            queue.expect_producers(1)

    def test_a_shutdown_meanwhile_does_not_disturb_leaving(self) -> None:
        queue: Queue[int] = Queue()
        with queue.producing():
            queue.put(1)
            queue.shutdown()
            with pytest.raises(ShutDown):
                queue.put(2)
        assert list(queue) == [1]

    def test_a_block_is_entered_once(self) -> None:
        queue: Queue[int] = Queue()
        block = queue.producing()
        with block, pytest.raises(RuntimeError, match="entered already"), block:
            pytest.fail("entered")
        assert queue.is_shutdown

    @pytest.mark.parametrize("n", [-1, 2**24, 2**80])
    def test_absurd_numbers(self, n: int) -> None:
        queue: Queue[int] = Queue()
        with pytest.raises(ValueError, match="must be from 0 to"):
            queue.expect_producers(n)
        with pytest.raises(TypeError, match="n is 'two'; it must be an integer"):
            queue.expect_producers("two")  # type: ignore[arg-type]
        assert not queue.is_shutdown

    def test_a_getter_waits_while_somebody_is_inside(self) -> None:
        queue: Queue[int] = Queue()
        with queue.producing():
            with pytest.raises(standard.Empty):
                queue.get(timeout=0.7)  # longer than it takes to look after the producers
            with pytest.raises(standard.Empty):
                queue.get_nowait()
            queue.put(1)
        assert list(queue) == [1]


class TestProducerLost:
    def test_says_all_it_knows(self) -> None:
        error = ProducerLost(1234, 9, 5, 2)
        assert (error.pid, error.signal, error.items, error.others) == (1234, 9, 5, 2)
        text = str(error)
        for word in ("1234", "SIGKILL", "5 items", "2 more"):
            assert word in text
        assert "killed" not in str(ProducerLost(1234))
        assert "signal 99" in str(ProducerLost(1234, 99))

    def test_can_be_sent(self) -> None:
        error = pickle.loads(pickle.dumps(ProducerLost(1, None, 3)))
        assert isinstance(error, ProducerLost)
        assert (error.pid, error.signal, error.items, error.others) == (1, None, 3, 0)
