"""What a type checker must know about shared state. Checked by mypy and pyright (test_typing.py); never run."""

from typing import assert_type

import conveyor.multiprocessing as multiprocessing
from conveyor import (
    Barrier,
    BoundedSemaphore,
    Condition,
    Event,
    Lock,
    RLock,
    Semaphore,
    SharedArray,
    SharedStruct,
    SharedValue,
)


def locks() -> None:
    lock = Lock()
    assert_type(lock.acquire(timeout=1.5), bool)
    assert_type(lock.recovered, bool)
    lock.acquire(wait=True)  # wrong
    with lock, RLock(), Semaphore(2), BoundedSemaphore():
        pass
    assert_type(multiprocessing.Lock(), Lock)
    assert_type(multiprocessing.get_context("spawn").Semaphore(3), Semaphore)


def meetings() -> None:
    condition = Condition(RLock())
    Condition(3)  # wrong
    with condition:
        assert_type(condition.wait(1), bool)
        assert_type(condition.wait_for(lambda: 5), int)
    assert_type(Event().wait(), bool)
    assert_type(Barrier(2).wait(timeout=1), int)
    Barrier()  # wrong


def values() -> None:
    value = SharedValue("i", 3)
    assert_type(value.compare_exchange(3, 4), bool)
    assert_type(value.wait_for(lambda number: str(number)), str)
    assert_type(value.get_lock(), RLock)
    array = SharedArray((2, 3), "i4", lock=True, path="file")
    assert_type(array.shape, tuple[int, ...])
    array.missing()  # wrong
    SharedArray((2, "3"))  # wrong
    assert_type(SharedStruct(object).compare_exchange("field", 1, 2), bool)
