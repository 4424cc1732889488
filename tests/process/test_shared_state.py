"""Shared state among processes of every start method: it arrives by every way, and its holders are killed."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import METHODS, crew, finish, until

import conveyor
from conveyor._memory.references import forget_received

SECOND = 1.0  # within which a death must be noticed
ADDERS, ADDS = 4, 5000


@pytest.fixture(autouse=True)
def received() -> Iterator[None]:
    """What a test sends is received in it: afterwards the sender keeps nothing of it."""
    yield
    forget_received()


class Point(ctypes.Structure):
    _fields_ = (("x", ctypes.c_longlong), ("y", ctypes.c_longlong))


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def everything() -> list[Any]:
    return [
        conveyor.Lock(),
        conveyor.RLock(),
        conveyor.Semaphore(3),
        conveyor.BoundedSemaphore(3),
        conveyor.Event(),
        conveyor.Condition(),
        conveyor.Barrier(2, timeout=30),
        conveyor.SharedValue("i", 7),
        conveyor.SharedStruct(Point, x=1),
        conveyor.SharedArray((2, 3), "i4", lock=True),
    ]


def use(things: list[Any]) -> bool:
    """What a process does that got one of each."""
    lock, rlock, semaphore, bounded, event, condition, barrier, value, record, array = things
    with lock, rlock, semaphore, bounded, condition:
        pass
    value.add(1)
    with record:
        record.y += 1
    with array as inside:
        inside += 1
    event.set()
    barrier.wait()
    with condition:
        condition.notify_all()
    return True


def take_from(queue: Any) -> None:
    use(queue.get(timeout=30))


def check_used(things: list[Any]) -> None:
    lock, rlock, semaphore, bounded, event, condition, barrier, value, record, array = things
    with condition:  # so that the notification cannot come before we wait
        meeting = threading.Thread(target=barrier.wait)
        meeting.start()
        assert condition.wait(30)
    meeting.join(30)
    assert event.wait(30)
    assert (value.value, record.x, record.y, array.array.sum()) == (8, 1, 1, 6)
    assert (semaphore.get_value(), bounded.get_value()) == (3, 3)
    assert not lock.locked()
    assert not rlock.locked()


class TestTravel:
    @pytest.mark.parametrize("method", METHODS)
    def test_as_an_argument(self, method: str) -> None:
        things = everything()
        with crew() as members:
            child = multiprocessing.get_context(method).Process(target=use, args=(things,))
            child.start()
            members.append(child)
            check_used(things)
            finish(child)

    @pytest.mark.parametrize("method", METHODS)
    def test_through_a_queue(self, method: str) -> None:
        things = everything()
        queue: conveyor.Queue[Any] = conveyor.Queue()
        with crew() as members:
            child = multiprocessing.get_context(method).Process(target=take_from, args=(queue,))
            child.start()
            members.append(child)
            queue.put(things)
            check_used(things)
            finish(child)

    def test_through_the_tasks_of_a_pool(self) -> None:
        things = everything()
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            result = pool.apply_async(use, (things,))
            check_used(things)
            assert result.get(30)
            pool.close()
            pool.join()

    def test_made_in_a_child_and_sent_back(self) -> None:
        queue: conveyor.Queue[Any] = conveyor.Queue()
        done = conveyor.Event()
        with crew() as members:
            child = multiprocessing.get_context("fork").Process(target=make_and_send, args=(queue, done))
            child.start()
            members.append(child)
            things = queue.get(timeout=30)
            done.set()
            finish(child)  # they outlive their maker
        things[7].add(1)
        assert things[7].value == 8
        with things[0]:
            assert things[0].locked()


def make_and_send(queue: Any, done: Any) -> None:
    queue.put(everything())
    done.wait(30)


# -- deaths ---------------------------------------------------------------------------------------------


def hold_and_die(thing: Any, held: Any) -> None:
    thing.acquire()
    held.set()
    die()


def hold(thing: Any, held: Any) -> None:
    thing.acquire()
    held.set()
    time.sleep(60)


def take_units(semaphore: Any, count: int, held: Any) -> None:
    for _ in range(count):
        semaphore.acquire()
    held.set()
    time.sleep(60)


def wait_condition(condition: Any, woken: Any) -> None:
    with condition:
        condition.wait()
    woken.add(1)


def wait_barrier(barrier: Any, broken: Any) -> None:
    try:
        barrier.wait()
    except threading.BrokenBarrierError:
        broken.add(1)


def tear(record: Any, held: Any) -> None:
    record.__enter__()
    record.x = 1  # and y is to follow
    held.set()
    time.sleep(60)


def within(seconds: float, action: Callable[[], Any]) -> Any:
    began = time.monotonic()
    result = action()
    assert time.monotonic() - began < seconds
    return result


@pytest.mark.parametrize("method", METHODS)
class TestDeaths:
    @pytest.mark.parametrize("make", [conveyor.Lock, conveyor.RLock, conveyor.Condition])
    def test_a_holder(self, method: str, make: Callable[[], Any]) -> None:
        thing, held = make(), conveyor.Event()
        with crew() as members:
            child = multiprocessing.get_context(method).Process(target=hold, args=(thing, held))
            child.start()
            members.append(child)
            assert held.wait(30)
            assert thing.acquire(timeout=0.3) is False
            child.kill()
            assert within(SECOND, thing.acquire) is True
            assert thing.recovered
            thing.release()
            thing.acquire()
            assert not thing.recovered
            thing.release()

    def test_a_holder_that_one_only_asks_for(self, method: str) -> None:
        lock, held = conveyor.Lock(), conveyor.Event()
        with crew() as members:
            child = multiprocessing.get_context(method).Process(target=hold_and_die, args=(lock, held))
            child.start()
            members.append(child)
            assert held.wait(30)
            until(lambda: lock.acquire(False), "the lock of the dead")
            assert lock.recovered

    def test_holders_of_units(self, method: str) -> None:
        semaphore, held = conveyor.BoundedSemaphore(3), conveyor.Event()
        with crew() as members:
            child = multiprocessing.get_context(method).Process(target=take_units, args=(semaphore, 2, held))
            child.start()
            members.append(child)
            assert held.wait(30)
            assert semaphore.acquire()
            assert semaphore.acquire(timeout=0.3) is False
            child.kill()
            assert within(SECOND, semaphore.acquire) is True
            assert semaphore.recovered
            assert semaphore.acquire(False)
            assert not semaphore.acquire(False)
            semaphore.release(3)
            with pytest.raises(ValueError, match="too many"):
                semaphore.release()

    def test_one_of_two_that_wait_for_a_condition(self, method: str) -> None:
        condition, woken = conveyor.Condition(), conveyor.SharedValue()
        context = multiprocessing.get_context(method)
        with crew() as members:
            for number in range(2):
                member = context.Process(target=wait_condition, args=(condition, woken))
                member.start()
                members.append(member)
                until(lambda number=number: condition._waiting == number + 1, "they wait")
            members[0].kill()
            members[0].join()
            with condition:
                condition.notify()
            assert woken.wait_for(lambda count: count == 1, timeout=SECOND)
            finish(members[1])

    def test_a_party_of_a_barrier(self, method: str) -> None:
        barrier, broken = conveyor.Barrier(3), conveyor.SharedValue()
        context = multiprocessing.get_context(method)
        with crew() as members:
            for number in range(2):
                member = context.Process(target=wait_barrier, args=(barrier, broken))
                member.start()
                members.append(member)
                until(lambda number=number: barrier.n_waiting == number + 1, "they wait")
            members[0].kill()
            assert broken.wait_for(lambda count: count == 1, timeout=SECOND)
            assert barrier.broken
            finish(members[1])

    def test_in_the_middle_of_a_record(self, method: str) -> None:
        record, held = conveyor.SharedStruct(Point), conveyor.Event()
        with crew() as members:
            child = multiprocessing.get_context(method).Process(target=tear, args=(record, held))
            child.start()
            members.append(child)
            assert held.wait(30)
            child.kill()
            assert within(SECOND, record.get_lock().acquire)
            assert record.recovered
            assert (record.x, record.y) == (1, 0)
            record.get_lock().release()


# -- many at once ---------------------------------------------------------------------------------------


def add_many(value: Any, real: Any, guarded: Any, array: Any) -> None:
    for _ in range(ADDS):
        value.add(1)
        real.add(0.5)
    for _ in range(ADDS // 10):
        with guarded:
            guarded.x += 1
        with array as inside:
            inside[0] += 1


def add_for_ever(value: Any, mine: Any) -> None:
    while True:
        mine.add(1)
        value.add(1)


class TestMany:
    @pytest.mark.parametrize("method", METHODS)
    def test_all_that_is_added_is_there(self, method: str) -> None:
        value, real = conveyor.SharedValue("q"), conveyor.SharedValue("d")
        record, array = conveyor.SharedStruct(Point), conveyor.SharedArray(1, "i8", lock=True)
        context = multiprocessing.get_context(method)
        with crew() as members:
            for _ in range(ADDERS):
                member = context.Process(target=add_many, args=(value, real, record, array))
                member.start()
                members.append(member)
            for member in members:
                finish(member)
        assert value.value == ADDERS * ADDS
        assert real.value == ADDERS * ADDS / 2
        assert record.x == array[0] == ADDERS * (ADDS // 10)

    def test_an_adder_that_is_killed_has_added_or_has_not(self) -> None:
        value = conveyor.SharedValue("q")
        counts = [conveyor.SharedValue("q") for _ in range(10)]
        with crew() as members:
            for mine in counts:
                member = multiprocessing.get_context("fork").Process(target=add_for_ever, args=(value, mine))
                member.start()
                members.append(member)
                mine.wait_for(lambda count: count > 100, timeout=30)
                member.kill()
                member.join()
        meant = sum(mine.value for mine in counts)
        assert meant - len(counts) <= value.value <= meant


def write_file(path: str, go: Any) -> None:
    array = conveyor.SharedArray(4, "i8", lock=True, path=path)
    with array as inside:
        inside[:] += 1
        go.set()
        time.sleep(60)


class TestArrays:
    @pytest.mark.parametrize("method", METHODS)
    def test_a_file_is_shared_by_those_that_open_it_and_outlives_them(
        self, method: str, tmp_path: Path
    ) -> None:
        path, go = str(tmp_path / "array"), conveyor.Event()
        with crew() as members:
            child = multiprocessing.get_context(method).Process(target=write_file, args=(path, go))
            child.start()
            members.append(child)
            assert go.wait(30)
            array = conveyor.SharedArray(4, "i8", lock=True, path=path)
            assert not array.get_lock().acquire(False)
            child.kill()
            assert within(SECOND, array.get_lock().acquire)
            assert array.recovered
            assert array.array.tolist() == [1, 1, 1, 1]
            array.get_lock().release()
        del array
        assert np.asarray(conveyor.SharedArray(4, "i8", path=path)).sum() == 4

    def test_a_view_outlives_the_sender(self) -> None:
        queue: conveyor.Queue[Any] = conveyor.Queue()
        done = conveyor.Event()
        with crew() as members:
            child = multiprocessing.get_context("fork").Process(target=send_array, args=(queue, done))
            child.start()
            members.append(child)
            view = queue.get(timeout=30).array
            done.set()
            finish(child)
        assert view.sum() == 1_000_000


def send_array(queue: Any, done: Any) -> None:
    array = conveyor.SharedArray(1_000_000, "u1")
    array[:] = 1
    queue.put(array)
    del array
    done.wait(30)
