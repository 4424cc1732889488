"""How a queue ends, with threads: `shutdown` as Python 3.13 has it, iteration, and registered producers.

The classes before TestProducing follow CPython 3.13's own tests (`*shutdown*` in Lib/test/test_queue.py), which
tests/conformance runs as they are where the interpreter has them.
"""

from __future__ import annotations

import os
import pickle
import queue as standard
import select
import sys
import threading
import time
from collections.abc import Callable
from contextvars import copy_context
from pathlib import Path
from typing import Any

import pytest

import conveyor
from conveyor import JoinableQueue, ProducerLost, Queue, ShutDown, SimpleQueue

QUEUES: tuple[Any, ...] = (Queue, JoinableQueue)
both = pytest.mark.parametrize("kind", QUEUES)
every = pytest.mark.parametrize("kind", [*QUEUES, SimpleQueue])
how = pytest.mark.parametrize("immediate", [False, True])


def until(condition: Callable[[], Any], what: str, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.001)


class Caller(threading.Thread):
    """A call in a thread of its own, and what came of it."""

    def __init__(self, call: Callable[..., Any], *arguments: Any, **options: Any) -> None:
        super().__init__(daemon=True)
        self._call = lambda: call(*arguments, **options)
        self._result: Any = None
        self._error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self._result = self._call()
        except BaseException as error:
            self._error = error

    def asleep(self) -> Caller:
        """The same, once the thread sleeps and goes on sleeping."""
        state = Path(f"/proc/self/task/{self.native_id}/stat")
        for _ in range(20):
            until(lambda: state.read_text().rpartition(")")[2].split()[0] == "S", "it blocks")
            time.sleep(0.001)
        return self

    def result(self, seconds: float = 10.0) -> Any:
        self.join(seconds)
        assert not self.is_alive(), "it still blocks"
        if self._error is not None:
            raise self._error
        return self._result


def test_the_exception_is_the_standard_librarys_where_it_has_one() -> None:
    if sys.version_info >= (3, 13):
        assert ShutDown is standard.ShutDown
    else:
        assert ShutDown.__bases__ == (Exception,)
        assert ShutDown.__name__ == "ShutDown"
    assert conveyor.ShutDown is conveyor.errors.ShutDown
    assert not issubclass(ProducerLost, ShutDown), "a loss must not be taken for an end"


class TestShutdown:
    @every
    @how
    def test_of_an_empty_queue(self, kind: Any, immediate: bool) -> None:
        queue = kind()
        assert not queue.is_shutdown
        queue.shutdown(immediate)
        assert queue.is_shutdown
        with pytest.raises(ShutDown):
            queue.put("data")
        with pytest.raises(ShutDown):
            queue.get()
        assert queue.empty()

    @every
    def test_what_is_in_can_be_taken(self, kind: Any) -> None:
        queue = kind()
        queue.put("data")
        queue.put(b"x" * 100_000)
        queue.shutdown()
        with pytest.raises(ShutDown):
            queue.put("more")
        assert queue.get() == "data"
        assert queue.get() == b"x" * 100_000
        for _ in range(2):
            with pytest.raises(ShutDown):
                queue.get()

    @every
    def test_immediately_it_is_dropped(self, kind: Any) -> None:
        queue = kind()
        for item in ("data", b"x" * 100_000, "y" * 5000, bytearray(200_000)):
            queue.put(item)
        queue.shutdown(immediate=True)
        with pytest.raises(ShutDown):
            queue.get()
        assert queue.empty()
        assert queue.statistics().depth == 0
        assert queue._check() == ""

    def test_dropped_arrays_give_their_memory_back(self) -> None:
        queue: Queue[bytes] = Queue()
        for _ in range(20):
            queue.put(bytes(1_000_000))
        held = queue.statistics().memory_held
        queue.shutdown(immediate=True)
        assert queue.statistics().memory_held < held * 0.6  # some stays for reuse
        assert queue.statistics().memory_lent == 0
        assert queue._check() == ""

    @both
    def test_allowed_transitions(self, kind: Any) -> None:
        queue = kind()
        queue.put(1)
        queue.shutdown()
        queue.shutdown()
        assert queue.qsize() == 1
        queue.shutdown(immediate=True)
        assert queue.qsize() == 0
        queue.shutdown(immediate=False)
        assert queue.is_shutdown
        with pytest.raises(ShutDown):
            queue.get()

    @how
    def test_all_methods(self, immediate: bool) -> None:
        queue: JoinableQueue[str] = JoinableQueue(2)
        queue.put("L")
        queue.put_nowait("O")
        queue.shutdown(immediate)
        for call in (
            lambda: queue.put("E"),
            lambda: queue.put_nowait("W"),
            lambda: queue.put("E", timeout=5),
            lambda: queue.put_many("EW"),
            lambda: queue.put(b"x" * 1_000_000),  # type: ignore[arg-type]
        ):
            with pytest.raises(ShutDown):
                call()
        if immediate:
            assert queue.unfinished_tasks == 0
            with pytest.raises(ValueError, match="too many times"):
                queue.task_done()
        else:
            assert queue.unfinished_tasks == 2
            assert queue.get() == "L"
            queue.task_done()
            assert queue.get() == "O"
            queue.task_done()
        assert queue.join(timeout=0)
        for call in (
            queue.get,
            queue.get_nowait,
            lambda: queue.get(True, 5.0),
            queue.get_many,
            lambda: queue.get_many(block=False),
        ):
            with pytest.raises(ShutDown):
                call()

    def test_a_batch_that_is_cut_off_says_how_far_it_came(self) -> None:
        queue: Queue[int] = Queue(3)
        putter = Caller(queue.put_many, range(5)).asleep()
        queue.shutdown()
        with pytest.raises(ShutDown) as raised:
            putter.result()
        assert raised.value.items_put == 3  # type: ignore[attr-defined]
        assert queue.get_many() == [0, 1, 2]

    def test_the_closed_queue_says_so_first(self) -> None:
        queue: Queue[int] = Queue()
        queue.shutdown()
        queue.close()
        with pytest.raises(ValueError, match="is closed"):
            queue.get()
        with pytest.raises(ValueError, match="is closed"):
            queue.put(1)

    def test_another_handle_on_the_same_queue(self) -> None:
        queue: Queue[int] = Queue()
        other = pickle.loads(pickle.dumps(queue))
        other.shutdown()
        assert queue.is_shutdown
        with pytest.raises(ShutDown):
            queue.put(1)
        queue.close()

    def test_a_named_queue_stays_shut_down(self) -> None:
        url = f"shm://ending-{os.getpid()}"
        queue = conveyor.connect(url, create=True)
        try:
            queue.put(1)
            queue.shutdown()
            del queue
            late = conveyor.connect(url, create=False)
            assert late.is_shutdown
            assert list(late) == [1]
        finally:
            conveyor.remove(url)


class TestWhoIsBlocked:
    """Wakes at once, and not at the end of a slice."""

    AT_ONCE = 0.2  # seconds; a slice is at least 0.25

    @pytest.fixture(autouse=True)
    def at_once(self) -> Any:
        self.began = 0.0
        yield
        assert time.monotonic() - self.began < self.AT_ONCE or not self.began

    def stopwatch(self) -> None:
        self.began = time.monotonic()

    @every
    @how
    def test_in_get(self, kind: Any, immediate: bool) -> None:
        queue = kind()
        getters = [Caller(queue.get).asleep() for _ in range(3)]
        self.stopwatch()
        queue.shutdown(immediate)
        for getter in getters:
            with pytest.raises(ShutDown):
                getter.result()

    def test_in_get_many_and_poll_and_select(self) -> None:
        queue: Queue[int] = Queue()
        many = Caller(queue.get_many, timeout=30).asleep()
        polled = Caller(queue._reader.poll, None).asleep()
        selected = Caller(select.select, [queue._reader], [], []).asleep()
        self.stopwatch()
        queue.shutdown()
        with pytest.raises(ShutDown):
            many.result()
        assert polled.result()
        assert selected.result()[0] == [queue._reader]
        assert queue.empty()
        assert select.select([queue._reader], [], [], 0)[0], "the end stays readable"

    @both
    @how
    def test_in_put(self, kind: Any, immediate: bool) -> None:
        queue = kind(2)
        queue.put("Y")
        queue.put("D")
        putters = [Caller(queue.put, item, timeout=30).asleep() for item in ("E", b"x" * 100_000)]
        self.stopwatch()
        queue.shutdown(immediate)
        for putter in putters:
            with pytest.raises(ShutDown):
                putter.result()
        self.began = 0.0
        if not immediate:
            assert queue.get_many() == ["Y", "D"]

    def test_in_put_of_a_simple_queue(self) -> None:
        queue: SimpleQueue[bytes] = SimpleQueue()
        queue.put(bytes(2**20))
        putter = Caller(queue.put, bytes(10)).asleep()
        self.stopwatch()
        queue.shutdown()
        with pytest.raises(ShutDown):
            putter.result()
        self.began = 0.0
        assert queue.get() == bytes(2**20)

    def test_in_join_when_the_rest_is_dropped(self) -> None:
        queue: JoinableQueue[str] = JoinableQueue()
        queue.put("Y")
        joins = [Caller(queue.join).asleep() for _ in range(2)]
        self.stopwatch()
        queue.shutdown(immediate=True)
        assert [join.result() for join in joins] == [True, True]


class TestJoin:
    def test_waits_for_what_was_taken_before_the_drop(self) -> None:
        queue: JoinableQueue[int] = JoinableQueue()
        queue.put_many(range(5))
        assert queue.get() == 0
        queue.shutdown(immediate=True)
        assert queue.unfinished_tasks == 1
        assert not queue.join(timeout=0)
        queue.task_done()
        assert queue.join(timeout=0)
        with pytest.raises(ValueError, match="too many times"):
            queue.task_done()

    def test_waits_for_the_rest_after_a_plain_shutdown(self) -> None:
        queue: JoinableQueue[str] = JoinableQueue()
        queue.put_many("YD")
        joins = [Caller(queue.join).asleep() for _ in range(2)]
        queue.shutdown()
        for _ in range(2):
            assert not any(not join.is_alive() for join in joins)
            queue.get()
            queue.task_done()
        assert [join.result() for join in joins] == [True, True]


@how
@pytest.mark.parametrize("maxsize", [0, 7])
def test_many_threads(immediate: bool, maxsize: int) -> None:
    queue: JoinableQueue[tuple[int, int]] = JoinableQueue(maxsize)
    put, taken = [0] * 4, [[] for _ in range(4)]  # type: ignore[var-annotated]

    def write(number: int) -> None:
        while True:
            queue.put((number, put[number] + 1))
            put[number] += 1

    def read(number: int) -> None:
        for item in queue:
            taken[number].append(item)
            queue.task_done()

    writers = [Caller(write, number) for number in range(4)]
    readers = [Caller(read, number) for number in range(4)]
    until(lambda: sum(put) > 2000 and all(taken), "all are at work")
    queue.shutdown(immediate)
    for writer in writers:
        with pytest.raises(ShutDown):
            writer.result()
    for reader in readers:
        reader.result()
    assert queue.join(timeout=0)
    got = sorted(item for items in taken for item in items)
    assert len(set(got)) == len(got)
    everything = [(number, i) for number in range(4) for i in range(1, put[number] + 1)]
    if immediate:
        assert set(got) <= set(everything)
    else:
        assert got == everything
    assert queue._check() == ""


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
        with pytest.raises(TypeError):
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
