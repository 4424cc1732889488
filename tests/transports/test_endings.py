"""How queues end, on every transport: for all who use them, wherever they are."""

from __future__ import annotations

import functools
import multiprocessing
import operator
import queue as standard
import threading
import time
from typing import Any

import programs
import pytest

import conveyor
from conveyor import ShutDown


class Caller(threading.Thread):
    """A call in a thread of its own, and what came of it."""

    def __init__(self, call: Any) -> None:
        super().__init__(daemon=True)
        self._call = call
        self._result: Any = None
        self._error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self._result = self._call()
        except BaseException as error:
            self._error = error

    def result(self) -> Any:
        self.join(60)
        assert not self.is_alive(), "it still blocks"
        if self._error is not None:
            raise self._error
        return self._result


class TestShutdown:
    def test_put_raises_at_once_and_get_after_the_drain(self, make: Any) -> None:
        queue, other = make(), make()
        queue.put_many([1, 2])
        assert not other.is_shutdown
        queue.shutdown()
        assert queue.is_shutdown
        assert other.is_shutdown
        for call in (lambda: queue.put(3), lambda: queue.put_many([3]), lambda: queue.put_nowait(3)):
            with pytest.raises(ShutDown):
                call()
        assert queue.get(timeout=10) == 1
        assert other.get_many(timeout=10) == [2]
        for call in (queue.get, other.get, queue.get_nowait, lambda: queue.get_many(10), other.lease):
            with pytest.raises(ShutDown):
                call()
        queue.shutdown()

    def test_others_may_not_put_either(self, make: Any) -> None:
        queue, other = make(), make()
        other.put(1)
        queue.shutdown()
        with pytest.raises(ShutDown):
            other.put(2)
        assert list(other) == [1]

    def test_who_waits_is_woken(self, make: Any) -> None:
        queue, other = make(), make()
        getter, leaser = Caller(lambda: other.get()), Caller(lambda: queue.lease())
        time.sleep(0.1)  # that they wait already is more likely so; either way they must end
        queue.shutdown()
        for waiting in (getter, leaser):
            with pytest.raises(ShutDown):
                waiting.result()

    @pytest.mark.needs("exact_bounds")
    def test_a_waiting_putter_is_woken(self, make: Any) -> None:
        queue, other = make(maxsize=1), make()
        queue.put(1)
        putter = Caller(lambda: other.put(2))
        time.sleep(0.1)
        queue.shutdown()
        with pytest.raises(ShutDown):
            putter.result()
        assert list(queue) == [1]

    def test_immediate_drops_what_waits(self, make: Any) -> None:
        queue, other = make(), make()
        queue.put_many(range(10))
        queue.shutdown(immediate=True)
        for call in (queue.get, other.get_nowait):
            with pytest.raises(ShutDown):
                call()
        assert queue.qsize() == 0

    def test_what_is_released_after_that_is_dropped(self, make: Any) -> None:
        queue = make()
        queue.put_many([1, 2])
        lease = queue.lease(timeout=10)
        queue.shutdown(immediate=True)
        lease.release()
        with pytest.raises(ShutDown):
            queue.get(timeout=1)

    @pytest.mark.needs("processes")
    def test_what_another_process_has_leased_holds_up_the_end(self, make: Any) -> None:
        """Until it is settled, or comes back as that process has died."""
        queue = make()
        queue.put_many(range(2))
        told: Any = conveyor.Queue()
        process = multiprocessing.get_context("spawn").Process(
            target=programs.lease_and_wait, args=(queue, 2, told)
        )
        process.start()
        assert told.get(timeout=60) == [0, 1]
        queue.shutdown()
        with pytest.raises(standard.Empty):
            queue.get(timeout=1)
        process.kill()
        process.join()
        assert sorted([queue.get(timeout=60), queue.get(timeout=60)]) == [0, 1]
        with pytest.raises(ShutDown):
            queue.get(timeout=60)

    def test_what_this_process_has_leased_makes_no_end_for_itself(self, make: Any) -> None:
        queue = make()
        queue.put(1)
        lease = queue.lease(timeout=10)
        queue.shutdown()
        with pytest.raises(ShutDown):
            queue.get(timeout=30)
        lease.release()
        assert queue.get(timeout=10) == 1

    @pytest.mark.needs("delays")
    def test_what_is_delayed_is_waited_for(self, make: Any) -> None:
        queue = make()
        queue.put(1)
        queue.lease(timeout=10).release(delay=1)
        queue.shutdown()
        with pytest.raises(standard.Empty):
            queue.get_nowait()
        assert queue.get(timeout=30) == 1
        with pytest.raises(ShutDown):
            queue.get(timeout=30)


class TestProducers:
    def test_the_last_to_leave_ends_it(self, make: Any) -> None:
        queue, other = make(), make()
        queue.expect_producers(2)
        with queue.producing() as out:
            out.put(1)
        assert not queue.is_shutdown
        with other.producing():
            other.put(2)
        assert queue.is_shutdown
        assert list(queue) == [1, 2]
        with pytest.raises(ShutDown), queue.producing():
            pass
        with pytest.raises(ShutDown):
            queue.expect_producers(1)

    def test_none_expected_is_the_end(self, make: Any) -> None:
        queue = make()
        queue.put(1)
        queue.expect_producers(0)
        assert list(queue) == [1]

    def test_one_inside_another_is_not_one_more(self, make: Any) -> None:
        queue = make()
        queue.expect_producers(2)
        with queue.producing(), queue.producing():
            pass
        assert not queue.is_shutdown
        with queue.producing():
            pass
        assert queue.is_shutdown

    def test_left_by_an_exception_it_is_left(self, make: Any) -> None:
        queue = make()
        with pytest.raises(KeyError), queue.producing():
            queue.put(1)
            raise KeyError
        assert list(queue) == [1]

    def test_consumers_that_wait_are_told(self, make: Any) -> None:
        queue = make()
        with queue.producing():
            consumers = [Caller(lambda: list(queue)) for _ in range(3)]
            queue.put_many(range(50))
        assert sorted(
            functools.reduce(operator.iadd, (consumer.result() for consumer in consumers), [])
        ) == list(range(50))
