"""Items under lease, within one process."""

from __future__ import annotations

import gc
import pickle
import queue as standard
import time
from typing import Any

import pytest
from callers import Caller
from leasing import Odd, fail

from conveyor import JoinableQueue, Lease, LeaseLost, Queue

QUEUES: tuple[Any, ...] = (Queue, JoinableQueue)
both = pytest.mark.parametrize("kind", QUEUES)


class TestBlock:
    @both
    def test_is_acknowledged_on_leaving(self, kind: Any) -> None:
        queue = kind()
        queue.put("a")
        with queue.lease() as item:
            assert item == "a"
            assert queue.qsize() == 0
            assert queue.statistics().leased == 1
        assert queue.statistics().leased == 0
        with pytest.raises(standard.Empty):
            queue.lease(timeout=0)
        assert queue._check() == ""

    @both
    def test_gives_back_to_the_front_on_an_exception(self, kind: Any) -> None:
        queue = kind()
        queue.put_many(["a", "b"])
        fail(queue, Odd())
        assert queue.qsize() == 2
        lease = queue.lease()
        assert (lease.item, lease.attempts) == ("a", 1)
        lease.acknowledge()
        lease = queue.lease()
        assert (lease.item, lease.attempts) == ("b", 0)

    def test_that_is_left_early_gives_back_or_not_as_any_block(self) -> None:
        queue: Queue[int] = Queue()
        queue.put_many([1, 2])
        for _ in range(1):
            with queue.lease():
                break
        with pytest.raises(KeyboardInterrupt), queue.lease() as item:
            raise KeyboardInterrupt
        assert item == 2
        assert queue.get_nowait() == 2

    def test_settled_inside_is_left_as_it_is(self) -> None:
        queue: Queue[int] = Queue()
        queue.put(1)
        lease = queue.lease()
        with lease:
            lease.release()
        assert queue.lease().attempts == 1

    def test_several_come_back_in_order(self) -> None:
        queue: Queue[int] = Queue()
        queue.put_many(range(200))
        with pytest.raises(Odd), queue.lease_many(150) as items:
            assert items == list(range(150))
            raise Odd
        assert queue.get_many(200) == list(range(200))

    def test_some_of_many_are_settled_by_themselves(self) -> None:
        queue: Queue[int] = Queue()
        queue.put_many(range(5))
        leases = queue.lease_many(4)
        leases[1].release()
        with leases as items:
            assert items == [0, 1, 2, 3]
        assert queue.get_many() == [1, 4]
        assert queue._check() == ""


class TestSettling:
    def test_twice_the_same_is_once(self) -> None:
        queue: Queue[int] = Queue()
        queue.put_many([1, 2, 3])
        first, second, third = queue.lease_many(3)
        for _ in range(2):
            first.acknowledge()
            second.release()
            third.reject()
        assert queue.get_many() == [2]
        assert queue.statistics().dead == 1

    def test_otherwise_than_before_is_refused(self) -> None:
        queue: Queue[int] = Queue()
        queue.put(1)
        lease = queue.lease()
        lease.release()
        for settle in (lease.acknowledge, lease.reject):
            with pytest.raises(LeaseLost, match="given back already"):
                settle()
        assert queue.lease().attempts == 1

    def test_dropped_it_goes_back(self) -> None:
        queue: Queue[list[Any]] = Queue()
        queue.put([1])
        lease = queue.lease()
        lease.item.append(lease)  # a cycle
        del lease
        gc.collect()
        assert queue.get_nowait() == [1]

    def test_a_delay_is_kept(self) -> None:
        queue: Queue[int] = Queue()
        queue.put(1)
        start = time.monotonic()
        queue.lease().release(delay=0.3)
        assert queue.empty()
        with pytest.raises(standard.Empty):
            queue.get_nowait()
        assert queue.get(timeout=5) == 1
        assert 0.3 <= time.monotonic() - start < 1.3

    @pytest.mark.parametrize("delay", [-1, float("nan")])
    def test_a_bad_delay_settles_nothing(self, delay: float) -> None:
        queue: Queue[int] = Queue()
        queue.put(1)
        lease = queue.lease()
        with pytest.raises(ValueError, match="delay"):
            lease.release(delay)
        lease.acknowledge()

    def test_a_waiting_getter_is_woken(self) -> None:
        queue: Queue[int] = Queue()
        queue.put(1)
        lease = queue.lease()
        getter = Caller(queue.get).asleep()
        start = time.monotonic()
        lease.release()
        assert getter.result() == 1
        assert time.monotonic() - start < 0.4

    def test_a_lease_makes_room_for_a_waiting_putter(self) -> None:
        queue: Queue[int] = Queue(maxsize=1)
        queue.put(1)
        putter = Caller(queue.put, 2).asleep()
        lease = queue.lease()
        putter.result()
        lease.release()  # more than maxsize: giving back always works
        assert queue.qsize() == 2
        assert queue.get_many() == [1, 2]

    def test_cannot_be_pickled_or_made(self) -> None:
        queue: Queue[int] = Queue()
        queue.put(1)
        with pytest.raises(TypeError):
            pickle.dumps(queue.lease())
        with pytest.raises(TypeError):
            Lease()  # type: ignore[call-arg]

    def test_says_what_it_is(self) -> None:
        queue: Queue[str] = Queue()
        queue.put("x")
        lease = queue.lease()
        assert repr(lease) == "<conveyor.Lease of 'x', held>"
        lease.acknowledge()
        assert repr(lease) == "<conveyor.Lease of 'x', acknowledged>"


class TestTime:
    def test_over_it_goes_to_somebody_else(self) -> None:
        queue: Queue[int] = Queue(lease_seconds=0.2)
        queue.put(1)
        slow = queue.lease()
        again = queue.lease(timeout=5)
        assert again.attempts == 1
        with pytest.raises(LeaseLost, match="went back"):
            slow.acknowledge()
        again.acknowledge()
        assert queue.empty()

    def test_of_one_lease(self) -> None:
        queue: Queue[int] = Queue()
        queue.put(1)
        lease = queue.lease(lease_seconds=0.1)
        assert queue.get(timeout=5) == 1
        with pytest.raises(LeaseLost):
            lease.release()

    @pytest.mark.parametrize(
        ("options", "error", "text"),
        [
            ({"lease_seconds": 0}, ValueError, "lease_seconds is 0"),
            ({"max_attempts": 0}, ValueError, "max_attempts is 0"),
            ({"max_attempts": 1.5}, TypeError, "max_attempts is 1.5"),
            ({"dead_letters": 3}, TypeError, "dead_letters is 3"),
        ],
    )
    def test_bad_bounds(self, options: Any, error: type[Exception], text: str) -> None:
        with pytest.raises(error, match=text):
            Queue(**options)


def test_what_is_released_uncounted_was_not_tried() -> None:
    queue: Any = Queue(max_attempts=2)
    queue.put("a")
    for _ in range(4):
        lease = queue.lease()
        assert lease.attempts == 0
        lease.release(counted=False)
        lease.release(counted=False)  # idempotent
    queue.lease().release()
    lease = queue.lease()
    assert lease.attempts == 1
    lease.release(counted=False)
    assert queue.lease().attempts == 1
