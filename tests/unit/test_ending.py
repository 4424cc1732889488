"""`shutdown`, with threads, as Python 3.13's `queue.Queue` has it.

After CPython 3.13's own tests (`*shutdown*` in Lib/test/test_queue.py), which tests/conformance runs as they are
where the interpreter has them.
"""

from __future__ import annotations

import os
import pickle
import queue as standard
import select
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from callers import Caller, until

import conveyor
from conveyor import JoinableQueue, ProducerLost, Queue, ShutDown, SimpleQueue

QUEUES: tuple[Any, ...] = (Queue, JoinableQueue)
both = pytest.mark.parametrize("kind", QUEUES)
every = pytest.mark.parametrize("kind", [*QUEUES, SimpleQueue])
how = pytest.mark.parametrize("immediate", [False, True])


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
    """Wakes at once, and not at the end of a slice of its sleep."""

    AT_ONCE = 0.5  # seconds
    LONG_SLICE = 0.8  # after 0.25 and 0.5 s, the third slice of a sleep lasts a whole second

    @contextmanager
    def at_once(self, *callers: Caller) -> Iterator[None]:
        for caller in callers:
            until(lambda caller=caller: time.monotonic() - caller.born > self.LONG_SLICE, "it sleeps long")  # type: ignore[misc]
            caller.asleep()
        began = time.monotonic()
        yield
        assert time.monotonic() - began < self.AT_ONCE

    @pytest.mark.parametrize(("kind", "immediate"), [(Queue, False), (Queue, True), (SimpleQueue, False)])
    def test_in_get(self, kind: Any, immediate: bool) -> None:
        queue = kind()
        getters = [Caller(queue.get) for _ in range(3)]
        with self.at_once(*getters):
            queue.shutdown(immediate)
            for getter in getters:
                with pytest.raises(ShutDown):
                    getter.result()

    def test_in_get_many_and_poll_and_select(self) -> None:
        queue: Queue[int] = Queue()
        many = Caller(queue.get_many, timeout=30)
        polled = Caller(queue._reader.poll, None)
        selected = Caller(select.select, [queue._reader], [], [])
        with self.at_once(many, polled, selected):
            queue.shutdown()
            with pytest.raises(ShutDown):
                many.result()
            assert polled.result()
            assert selected.result()[0] == [queue._reader]
        assert queue.empty()
        assert select.select([queue._reader], [], [], 0)[0], "the end stays readable"

    @pytest.mark.parametrize(("kind", "immediate"), [(Queue, False), (JoinableQueue, True)])
    def test_in_put(self, kind: Any, immediate: bool) -> None:
        queue = kind(2)
        queue.put("Y")
        queue.put("D")
        putters = [Caller(queue.put, item, timeout=30) for item in ("E", b"x" * 100_000)]
        with self.at_once(*putters):
            queue.shutdown(immediate)
            for putter in putters:
                with pytest.raises(ShutDown):
                    putter.result()
        if not immediate:
            assert queue.get_many() == ["Y", "D"]

    def test_in_put_of_a_simple_queue(self) -> None:
        queue: SimpleQueue[bytes] = SimpleQueue()
        queue.put(bytes(2**20))
        putter = Caller(queue.put, bytes(10))
        with self.at_once(putter):
            queue.shutdown()
            with pytest.raises(ShutDown):
                putter.result()
        assert queue.get() == bytes(2**20)

    def test_in_join_when_the_rest_is_dropped(self) -> None:
        queue: JoinableQueue[str] = JoinableQueue()
        queue.put("Y")
        joins = [Caller(queue.join) for _ in range(2)]
        with self.at_once(*joins):
            queue.shutdown(immediate=True)
            assert [join.result() for join in joins] == [True, True]

    def test_in_get_when_the_last_producer_leaves(self) -> None:
        queue: Queue[str] = Queue()
        getter = Caller(queue.get)
        with self.at_once(getter):
            with queue.producing():
                pass
            with pytest.raises(ShutDown):
                getter.result()


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
