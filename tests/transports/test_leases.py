"""Items under lease, on every transport."""

from __future__ import annotations

import gc
import pickle
import queue as standard
import threading
import time
from random import Random
from typing import Any

import pytest

import conveyor
from conveyor import DeadLetter, LeaseLost


class Odd(Exception):
    pass


def fail(queue: Any, error: BaseException | None = None) -> Any:
    error = Odd("no") if error is None else error
    with pytest.raises(type(error)), queue.lease(timeout=10) as item:
        raise error
    return item


def until(condition: Any, what: str, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.005)


class TestBlocks:
    def test_is_acknowledged_on_leaving(self, make: Any) -> None:
        queue = make()
        queue.put("a")
        with queue.lease(timeout=10) as item:
            assert item == "a"
            with pytest.raises(standard.Empty):
                queue.get_nowait()
        with pytest.raises(standard.Empty):
            queue.get(timeout=0.1)

    @pytest.mark.needs("knows_leased")
    def test_is_counted(self, make: Any) -> None:
        queue = make()
        queue.put("a")
        lease = queue.lease(timeout=10)
        assert queue.statistics().leased == 1
        assert queue.qsize() == 0
        lease.acknowledge()
        assert queue.statistics().leased == 0

    def test_comes_back_after_an_exception(self, make: Any) -> None:
        queue = make()
        queue.put("a")
        assert fail(queue) == "a"
        lease = queue.lease(timeout=10)
        assert (lease.item, lease.attempts) == ("a", 1)
        lease.acknowledge()

    @pytest.mark.needs("front")
    def test_comes_back_to_the_front(self, make: Any) -> None:
        queue = make()
        queue.put_many(["a", "b"])
        fail(queue)
        assert queue.get(timeout=10) == "a"
        assert queue.get(timeout=10) == "b"

    @pytest.mark.needs("front")
    def test_several_come_back_in_order(self, make: Any) -> None:
        queue = make()
        queue.put_many(range(20))
        with pytest.raises(Odd), queue.lease_many(15, timeout=10) as items:
            assert items == list(range(15))
            raise Odd
        got: list[int] = []
        while len(got) < 20:
            got += queue.get_many(20, timeout=10)
        assert got == list(range(20))

    def test_many_are_acknowledged_at_once(self, make: Any) -> None:
        queue = make()
        queue.put_many(range(50))
        taken: list[int] = []
        while len(taken) < 50:
            with queue.lease_many(50, timeout=10) as items:
                taken += items
        assert taken == list(range(50))
        with pytest.raises(standard.Empty):
            queue.get(timeout=0.1)

    def test_some_of_many_are_settled_by_themselves(self, make: Any) -> None:
        queue = make()
        queue.put_many(range(4))
        leases = queue.lease_many(4, timeout=10)
        assert len(leases) == 4
        leases[1].release()
        leases[2].acknowledge()
        with leases as items:
            assert items == [0, 1, 2, 3]
        assert queue.get(timeout=10) == 1
        with pytest.raises(standard.Empty):
            queue.get(timeout=0.1)


class TestSettling:
    def test_twice_the_same_is_once_and_otherwise_is_refused(self, make: Any) -> None:
        queue = make()
        queue.put_many([1, 2, 3])
        first, second, third = (queue.lease(timeout=10) for _ in range(3))
        for _ in range(2):
            first.acknowledge()
            second.release()
            third.reject()
        with pytest.raises(LeaseLost, match="acknowledged already"):
            first.release()
        with pytest.raises(LeaseLost, match="given back already"):
            second.acknowledge()
        with pytest.raises(LeaseLost, match="rejected already"):
            third.acknowledge()
        assert queue.get(timeout=10) == 2

    def test_dropped_it_goes_back(self, make: Any) -> None:
        queue = make()
        queue.put("a")
        lease = queue.lease(timeout=10)
        del lease
        gc.collect()
        assert queue.get(timeout=10) == "a"

    @pytest.mark.needs("delays")
    def test_a_delay_is_kept(self, make: Any) -> None:
        queue = make()
        queue.put(1)
        start = time.monotonic()
        queue.lease(timeout=10).release(delay=0.5)
        assert queue.empty()
        with pytest.raises(standard.Empty):
            queue.get_nowait()
        assert queue.get(timeout=10) == 1
        assert time.monotonic() - start >= 0.5

    @pytest.mark.parametrize("delay", [-1, float("nan")])
    def test_a_bad_delay_settles_nothing(self, make: Any, delay: float) -> None:
        queue = make()
        queue.put(1)
        lease = queue.lease(timeout=10)
        with pytest.raises(ValueError, match="delay"):
            lease.release(delay)
        lease.acknowledge()

    def test_a_waiting_getter_is_woken(self, make: Any) -> None:
        queue = make()
        queue.put(1)
        lease = queue.lease(timeout=10)
        got: list[Any] = []
        thread = threading.Thread(target=lambda: got.append(queue.get(timeout=30)))
        thread.start()
        lease.release()
        thread.join(30)
        assert got == [1]

    def test_cannot_be_pickled(self, make: Any) -> None:
        queue = make()
        queue.put(1)
        lease = queue.lease(timeout=10)
        with pytest.raises(TypeError):
            pickle.dumps(lease)
        assert "held" in repr(lease)
        lease.acknowledge()
        assert "acknowledged" in repr(lease)


class TestTime:
    @pytest.mark.needs("leases_end")
    def test_over_it_goes_to_somebody_else(self, make: Any) -> None:
        queue = make(lease_seconds=0.5)
        queue.put("a")
        slow = queue.lease(timeout=10)
        again = queue.lease(timeout=30)
        assert (again.item, again.attempts) == ("a", 1)
        with pytest.raises(LeaseLost):
            slow.acknowledge()
        again.acknowledge()
        with pytest.raises(standard.Empty):
            queue.get(timeout=0.1)

    @pytest.mark.needs("leases_end")
    def test_of_one_lease(self, make: Any) -> None:
        queue = make()
        queue.put(1)
        lease = queue.lease(timeout=10, lease_seconds=0.3)
        assert queue.get(timeout=30) == 1
        with pytest.raises(LeaseLost):
            lease.release()

    def test_without_one_it_lasts(self, make: Any) -> None:
        queue = make()
        queue.put(1)
        lease = queue.lease(timeout=10)
        with pytest.raises(standard.Empty):
            queue.get(timeout=1.5)
        lease.acknowledge()


def test_waiting_is_no_attempt(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whenever an item comes: who waits looks at the queue's end in between, and asks its broker anew."""
    items = 300
    queue, other = make(max_attempts=50), make(max_attempts=50)
    if hasattr(queue, "_slice"):
        monkeypatch.setattr(queue, "_slice", 0.003)
    next_one = threading.Semaphore(1)
    random = Random(1)

    def put() -> None:
        for number in range(items):
            next_one.acquire()
            threading.Event().wait(0.01 * random.random())
            other.put(number)

    thread = threading.Thread(target=put)
    thread.start()
    attempts: list[int] = []
    for _ in range(items):
        lease = queue.lease(timeout=60)
        attempts.append(lease.attempts)
        lease.acknowledge()
        next_one.release()
    thread.join()
    assert attempts == [0] * items


class TestDeadLetters:
    def test_the_letter_says_why(self, make: Any) -> None:
        poison: Any = conveyor.Queue()
        queue = make(max_attempts=2, dead_letters=poison)
        queue.put("bad")
        for _ in range(2):
            assert fail(queue) == "bad"
        letter = poison.get(timeout=10)
        assert isinstance(letter, DeadLetter)
        assert (letter.item, letter.attempts) == ("bad", 2)
        assert letter.error == "Odd: no"
        with pytest.raises(standard.Empty):
            queue.get(timeout=0.2)

    def test_rejected_at_once(self, make: Any) -> None:
        poison: Any = conveyor.Queue()
        queue = make(dead_letters=poison)
        queue.put("bad")
        queue.lease(timeout=10).reject("of no use")
        letter = poison.get(timeout=10)
        assert (letter.item, letter.attempts, letter.error) == ("bad", 1, "of no use")

    @pytest.mark.needs("knows_leased")
    def test_without_them_it_is_set_aside_and_counted(self, make: Any) -> None:
        queue = make(max_attempts=1)
        queue.put_many(["bad", "good"])
        assert fail(queue) == "bad"
        assert queue.get(timeout=10) == "good"
        assert queue.statistics().dead == 1
        with pytest.raises(standard.Empty):
            queue.get(timeout=0.1)

    @pytest.mark.needs("leases_end")
    @pytest.mark.parametrize("take", ["get", "get_many", "lease"])
    def test_what_nobody_settled_too_often_is_given_up_however_it_is_taken(
        self, make: Any, take: str
    ) -> None:
        poison: Any = conveyor.Queue()
        queue = make(max_attempts=1, dead_letters=poison)
        queue.put("bad")
        lease = queue.lease(timeout=10, lease_seconds=0.2)
        queue.put("good")
        letter: Any = None
        got: list[Any] = []
        while letter is None or not got:
            try:
                one = getattr(queue, take)(timeout=0.3)
            except standard.Empty:
                pass
            else:
                got += one if take == "get_many" else [one if take == "get" else one.item]
                if take == "lease":
                    one.acknowledge()
            letter = letter or (poison.get() if not poison.empty() else None)
        assert got == ["good"]
        assert (letter.item, letter.attempts) == ("bad", 1)
        with pytest.raises(LeaseLost):
            lease.acknowledge()

    def test_full_ones_are_tried_again(self, make: Any) -> None:
        poison: Any = conveyor.Queue(maxsize=1)
        poison.put("in the way")
        queue = make(max_attempts=1, dead_letters=poison)
        queue.put("bad")
        fail(queue)
        with pytest.raises(standard.Empty):
            queue.lease(timeout=0.3)
        assert poison.get(timeout=10) == "in the way"

        def moved() -> bool:
            with pytest.raises(standard.Empty):
                queue.lease(timeout=0.1)
            return not poison.empty()

        until(moved, "the item is in the dead letters")
        assert poison.get(timeout=10).item == "bad"

    def test_may_be_of_the_same_transport(self, make: Any, other_url: str) -> None:
        poison: Any = conveyor.connect(other_url)
        queue = make(max_attempts=1, dead_letters=poison)
        queue.put(("bad", [1, {"a": b"x"}]))
        fail(queue)
        letter = poison.get(timeout=10)
        assert letter == DeadLetter(("bad", [1, {"a": b"x"}]), 1, "Odd: no", letter.pid)
        with poison.producing():
            poison.put("goes on")
        assert list(poison) == ["goes on"]
        poison.close()

    def test_are_a_queue(self, make: Any) -> None:
        with pytest.raises(TypeError, match="dead_letters is 3"):
            make(dead_letters=3)
