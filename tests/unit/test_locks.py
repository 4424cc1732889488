"""Lock, RLock, semaphores, Event, Condition and Barrier within one process: methods, errors, threads, pickles."""

from __future__ import annotations

import copy
import gc
import multiprocessing
import os
import pickle
import signal
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import conveyor
from conveyor._native import LockBase, Region

MAKERS: list[Callable[[], Any]] = [
    conveyor.Lock,
    conveyor.RLock,
    conveyor.Semaphore,
    conveyor.BoundedSemaphore,
    conveyor.Event,
    conveyor.Condition,
    lambda: conveyor.Barrier(2),
]


def in_thread(function: Callable[..., Any], *args: Any) -> Any:
    result: list[Any] = []
    thread = threading.Thread(target=lambda: result.append(function(*args)))
    thread.start()
    thread.join(30)
    return result[0]


@pytest.fixture
def alarm() -> Iterator[Callable[[float], None]]:
    """Sends SIGALRM, whose handler raises TimeoutError, so many seconds from now."""

    def handler(*_: Any) -> None:
        raise TimeoutError("alarm")

    before = signal.signal(signal.SIGALRM, handler)
    yield lambda seconds: signal.setitimer(signal.ITIMER_REAL, seconds)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


class TestAll:
    @pytest.mark.parametrize("make", MAKERS)
    def test_pickled_it_is_the_same_thing(self, make: Callable[[], Any]) -> None:
        made = make()
        other = pickle.loads(pickle.dumps(made))
        assert type(other) is type(made)
        assert (other._region, other._offset) == (made._region, made._offset)
        assert copy.copy(made) is copy.deepcopy(made) is made

    @pytest.mark.parametrize("make", MAKERS)
    def test_takes_a_context_as_the_standard_library_has_it(self, make: Callable[[], Any]) -> None:
        cls = type(make())
        arguments = (2,) if cls is conveyor.Barrier else ()
        assert isinstance(cls(*arguments, ctx=multiprocessing.get_context("spawn")), cls)

    @pytest.mark.parametrize("make", MAKERS)
    def test_leaves_nothing_when_it_goes(self, make: Callable[[], Any]) -> None:
        made = make()
        seen = weakref.ref(made)
        del made
        gc.collect()
        assert seen() is None

    def test_a_thousand_cost_one_descriptor_and_little_memory(self) -> None:
        before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
        locks = [conveyor.Lock() for _ in range(1000)]
        assert len(os.listdir("/proc/self/fd")) <= before + 1  # noqa: PTH208
        assert locks[0]._region.memory_held < 200_000

    def test_a_million_one_after_the_other_cost_no_more(self) -> None:
        kept = conveyor.Lock()
        for _ in range(100_000):
            conveyor.Lock()
        assert kept._region.memory_held < 200_000

    @pytest.mark.parametrize("make", MAKERS)
    def test_a_wrong_place_is_found_out(self, make: Callable[[], Any]) -> None:
        made = make()
        base = next(cls for cls in type(made).__mro__ if cls.__module__ == "conveyor._native")
        region: Region = made._region
        for offset in (0, 8, made._offset + 8, 2**63, region.size):
            with pytest.raises(conveyor.CorruptSegment):
                base.__init__(type(made).__new__(type(made)), region, offset)
        another = conveyor.SharedValue()
        with pytest.raises(conveyor.CorruptSegment):
            base.__init__(type(made).__new__(type(made)), another._region, another._offset)

    def test_one_that_was_never_initialised_says_so(self) -> None:
        lock = conveyor.Lock.__new__(conveyor.Lock)
        for use in (
            lock.acquire,
            lock.release,
            lambda: lock.__enter__(),
            lock.locked,
            lambda: lock.recovered,
        ):
            with pytest.raises(ValueError, match="not initialised"):
                use()


class TestLock:
    def test_methods(self) -> None:
        lock = conveyor.Lock()
        assert not lock.locked()
        assert lock.acquire() is True
        assert lock.locked()
        assert lock.acquire(False) is False
        assert lock.acquire(block=False) is False
        assert lock.acquire(True, 0.01) is False
        assert lock.acquire(timeout=-1) is False
        lock.release()
        with pytest.raises(ValueError, match="released too many times"):
            lock.release()
        with lock as got:
            assert got is True
            assert lock.locked()
        assert not lock.locked()
        assert not lock.recovered
        assert repr(lock) == "<Lock(owner=None)>"

    def test_wrong_arguments(self) -> None:
        lock: Any = conveyor.Lock()
        for arguments, named in (((1, 2, 3), {}), ((), {"wait": 1}), ((True,), {"block": True})):
            with pytest.raises(TypeError):
                lock.acquire(*arguments, **named)
        lock.acquire()
        with pytest.raises(TypeError):
            lock.acquire(timeout="soon")
        with pytest.raises(ValueError, match="nan"):
            lock.acquire(timeout=float("nan"))

    def test_excludes_threads(self) -> None:
        lock = conveyor.Lock()
        counted = [0]

        def count() -> None:
            for _ in range(2000):
                with lock:
                    seen = counted[0]
                    if seen % 100 == 0:
                        time.sleep(0)  # lets the others run
                    counted[0] = seen + 1

        threads = [threading.Thread(target=count) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert counted == [8000]

    def test_is_released_when_the_block_raises(self) -> None:
        lock = conveyor.Lock()
        with pytest.raises(KeyError), lock:
            raise KeyError
        assert not lock.locked()

    def test_a_signal_interrupts_the_wait(self, alarm: Callable[[float], None]) -> None:
        lock = conveyor.Lock()
        lock.acquire()
        alarm(0.05)
        with pytest.raises(TimeoutError):
            lock.acquire()
        lock.release()
        assert lock.acquire(False)


class TestRLock:
    def test_methods(self) -> None:
        lock = conveyor.RLock()
        assert isinstance(lock, LockBase)
        with pytest.raises(AssertionError, match="not owned by thread"):
            lock.release()
        assert [lock.acquire() for _ in range(3)] == [True] * 3
        assert repr(lock) == "<RLock(owner=this process, count=3)>"
        for _ in range(3):
            lock.release()
        with pytest.raises(AssertionError):
            lock.release()

    def test_belongs_to_the_thread(self) -> None:
        lock = conveyor.RLock()
        with lock, lock:
            assert not in_thread(lock.acquire, False)
            assert in_thread(self.error_of, lock.release) is AssertionError
            assert not in_thread(lock._is_mine)
        assert in_thread(self.take_and_release, lock)

    @staticmethod
    def error_of(function: Callable[[], Any]) -> type[BaseException] | None:
        try:
            function()
        except BaseException as error:
            return type(error)
        return None

    @staticmethod
    def take_and_release(lock: conveyor.RLock) -> bool:
        with lock:
            return lock._is_mine()

    def test_two_handles_count_together(self) -> None:
        lock = conveyor.RLock()
        other = pickle.loads(pickle.dumps(lock))
        with lock:
            assert other.acquire(False)
            other.release()
            assert not in_thread(other.acquire, False)


class TestSemaphore:
    def test_methods(self) -> None:
        semaphore = conveyor.Semaphore(2)
        assert semaphore.get_value() == 2
        with semaphore, semaphore:
            assert semaphore.acquire(False) is False
            assert semaphore.acquire(timeout=0.01) is False
        semaphore.release(3)
        assert semaphore.get_value() == 5
        assert repr(semaphore) == "<Semaphore(value=5)>"
        assert conveyor.Semaphore().get_value() == 1

    def test_bounded(self) -> None:
        semaphore = conveyor.BoundedSemaphore(2)
        with pytest.raises(ValueError, match="released too many times"):
            semaphore.release()
        semaphore.acquire()
        with pytest.raises(ValueError, match="released too many times"):
            semaphore.release(2)
        semaphore.release()
        assert repr(semaphore) == "<BoundedSemaphore(value=2, maxvalue=2)>"

    @pytest.mark.parametrize("value", [-1, 2**31])
    def test_wrong_values(self, value: int) -> None:
        for cls in (conveyor.Semaphore, conveyor.BoundedSemaphore):
            with pytest.raises(ValueError, match=f"value is {value}"):
                cls(value)

    @pytest.mark.parametrize("n", [0, -3, 2**40])
    def test_wrong_counts(self, n: int) -> None:
        with pytest.raises(ValueError, match=f"n is {n}"):
            conveyor.Semaphore(1).release(n)

    def test_a_signal_interrupts_the_wait(self, alarm: Callable[[float], None]) -> None:
        semaphore = conveyor.Semaphore(0)
        alarm(0.05)
        with pytest.raises(TimeoutError):
            semaphore.acquire()


class TestEvent:
    def test_methods(self) -> None:
        event = conveyor.Event()
        assert not event.is_set()
        assert event.wait(0) is False
        assert event.wait(0.01) is False
        assert repr(event).endswith(" unset>")
        event.set()
        assert event.is_set()
        assert event.wait() is True
        event.clear()
        assert not event.is_set()

    def test_a_signal_interrupts_the_wait(self, alarm: Callable[[float], None]) -> None:
        alarm(0.05)
        with pytest.raises(TimeoutError):
            conveyor.Event().wait()


class TestCondition:
    @pytest.mark.parametrize(
        "make", [lambda: None, conveyor.Lock, conveyor.RLock, multiprocessing.Lock, multiprocessing.RLock]
    )
    def test_with_each_kind_of_lock(self, make: Callable[[], Any]) -> None:
        condition = conveyor.Condition(make())
        done: list[bool] = []

        def wait() -> None:
            with condition:
                done.append(condition.wait(30))

        thread = threading.Thread(target=wait)
        thread.start()
        while not condition._waiting:
            time.sleep(0)
        with condition:
            condition.notify()
        thread.join(30)
        assert done == [True]
        with condition:
            assert condition.wait(0.01) is False

    def test_a_nested_lock_is_given_up_whole_and_taken_back(self) -> None:
        condition = conveyor.Condition()
        with condition, condition:
            assert condition.wait(0.01) is False
            assert condition._lock._depth == 2

    def test_wait_for(self) -> None:
        condition = conveyor.Condition()
        with condition:
            assert condition.wait_for(lambda: "yes") == "yes"
            assert condition.wait_for(lambda: 0, timeout=0.01) == 0

    def test_only_with_the_lock(self) -> None:
        condition = conveyor.Condition()
        for use in (condition.wait, condition.notify, condition.notify_all):
            with pytest.raises(AssertionError, match="lock is not owned"):
                use()

    def test_other_locks_are_refused(self) -> None:
        with pytest.raises(TypeError, match="it must be a Lock or RLock"):
            conveyor.Condition(threading.Lock())  # type: ignore[arg-type]

    def test_a_signal_interrupts_the_wait_and_the_lock_is_held_again(
        self, alarm: Callable[[float], None]
    ) -> None:
        condition = conveyor.Condition()
        with condition:
            alarm(0.05)
            with pytest.raises(TimeoutError):
                condition.wait()
            assert condition._lock._is_mine()
        assert condition._waiting == 0


class TestBarrier:
    def test_alone(self) -> None:
        called: list[int] = []
        barrier = conveyor.Barrier(1, action=lambda: called.append(1))
        assert barrier.wait() == 0
        assert barrier.wait() == 0
        assert called == [1, 1]
        assert (barrier.parties, barrier.n_waiting, barrier.broken) == (1, 0, False)

    def test_breaks_at_the_timeout_and_is_reset(self) -> None:
        barrier = conveyor.Barrier(2, timeout=0.01)
        with pytest.raises(threading.BrokenBarrierError):
            barrier.wait()
        assert barrier.broken
        with pytest.raises(threading.BrokenBarrierError):
            barrier.wait(30)
        barrier.reset()
        assert not barrier.broken

    def test_an_action_that_raises_breaks_it(self) -> None:
        def fail() -> None:
            raise KeyError

        barrier = conveyor.Barrier(1, fail)
        with pytest.raises(KeyError):
            barrier.wait()
        assert barrier.broken

    def test_a_signal_in_the_wait_breaks_it(self, alarm: Callable[[float], None]) -> None:
        barrier = conveyor.Barrier(2)
        alarm(0.05)
        with pytest.raises(TimeoutError):
            barrier.wait()
        assert barrier.broken

    @pytest.mark.parametrize("parties", [0, -1, 2**20 + 1])
    def test_wrong_parties(self, parties: int) -> None:
        with pytest.raises(ValueError, match=f"parties is {parties}"):
            conveyor.Barrier(parties)
