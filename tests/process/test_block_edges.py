"""Exceptions of signal handlers at the edges of a block, and in the midst of a wait: nothing stays behind.

A handler may raise between any two steps of Python code. One that does when `__enter__` is about to return has kept the
block from being entered, and nobody will leave it. Here signals come at any time, and after each that raised it is
looked whether anybody is registered, or holds anything: while the exception is still being handled, so that no
traceback may keep anything either.
"""

from __future__ import annotations

import ctypes
import dis
import multiprocessing
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from helpers import thread_asleep, until

import conveyor
from conveyor import Barrier, Condition, Event, Lock, RLock, Semaphore

ROUNDS = 400


class Interrupted(Exception):
    pass


def interrupt(*_: object) -> None:
    raise Interrupted


@contextmanager
def interrupting() -> Iterator[None]:
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def at_any_edge(body: Callable[[], object], check: Callable[[], object], rounds: int = ROUNDS) -> None:
    """Run `body` again and again until a handler raises, and then `check`; so many times."""
    if "BEFORE_WITH" not in dis.opmap:
        pytest.skip(
            "CPython from 3.14 on looks for signals before the block begins: threading.Lock stays taken"
        )
    chance = random.Random(1)
    with interrupting():
        for _ in range(rounds):
            try:
                signal.setitimer(signal.ITIMER_REAL, 30e-6 + chance.random() * 200e-6)
                while True:
                    body()
            except Interrupted:
                check()


# ---- locks


def run_aside(function: Callable[[], Any]) -> Any:
    """What it returns in another thread: an RLock's own would get it again."""
    returned: list[Any] = []
    thread = threading.Thread(target=lambda: returned.append(function()))
    thread.start()
    thread.join()
    return returned[0]


def free(lock: Any) -> None:
    assert run_aside(lambda: lock.acquire(block=False) and not lock.release())


def lock_of(thing: Any) -> Any:
    return thing.get_lock() if hasattr(thing, "get_lock") else thing


class Point(ctypes.Structure):
    _fields_ = (("x", ctypes.c_int),)


LOCKED: dict[str, Callable[[], Any]] = {
    "Lock": Lock,
    "RLock": RLock,
    "Semaphore": lambda: Semaphore(1),
    "BoundedSemaphore": lambda: conveyor.BoundedSemaphore(1),
    "Condition": Condition,
    "Condition on a Lock": lambda: Condition(Lock()),
    "Condition on a lock of multiprocessing's": lambda: Condition(multiprocessing.Lock()),  # type: ignore[arg-type]
    "Condition on an RLock of multiprocessing's": lambda: Condition(multiprocessing.RLock()),  # type: ignore[arg-type]
    "SharedArray": lambda: conveyor.SharedArray(4, "d", lock=True),
    "SharedStruct": lambda: conveyor.SharedStruct(Point),
    "a SharedValue's lock": lambda: conveyor.SharedValue(int).get_lock(),
}


@pytest.mark.parametrize("what", LOCKED)
def test_no_lock_stays_taken(what: str) -> None:
    thing = LOCKED[what]()

    def body() -> None:
        with thing:
            pass

    at_any_edge(body, lambda: free(lock_of(thing)))


@pytest.mark.parametrize("what", LOCKED)
def test_a_stack_enters_the_block_too(what: str) -> None:
    # As type(thing).__enter__(thing).
    thing = LOCKED[what]()
    with ExitStack() as stack:
        stack.enter_context(thing)
        lock = lock_of(thing)
        assert not run_aside(lambda: lock.acquire(block=False))
    free(lock_of(thing))


def test_nor_by_blocks_within_each_other_or_left_by_return_and_exceptions() -> None:
    outer, inner = Condition(), Condition(Lock())

    def body() -> object:
        with outer, outer, inner:
            try:
                with outer:
                    raise KeyError
            except KeyError:
                return None

    def check() -> None:
        free(outer)
        free(inner)

    at_any_edge(body, check)


# ---- registrations


PRODUCED: dict[str, Callable[[], Any]] = {
    "Queue": conveyor.Queue,
    "bounded Queue": lambda: conveyor.Queue(1),
    "JoinableQueue": conveyor.JoinableQueue,
    "SimpleQueue": conveyor.SimpleQueue,
    "Topic": lambda: conveyor.Topic(max_bytes=4096),
}


@pytest.mark.parametrize("what", PRODUCED)
def test_no_producer_stays_registered(what: str) -> None:
    queue: Any = None

    def renew() -> None:
        nonlocal queue
        queue = PRODUCED[what]()
        queue.expect_producers(1_000_000)

    def body() -> None:
        with queue.producing() as same, same.producing():
            pass

    def check() -> None:
        # If nobody is inside, this is the end.
        queue.expect_producers(0)
        assert queue.is_shutdown
        renew()

    renew()
    at_any_edge(body, check)
    # And who enters once more counts once more: no thread is taken to be inside still.
    queue.expect_producers(2)
    with queue.producing():
        pass
    assert not queue.is_shutdown
    with queue.producing():
        pass
    assert queue.is_shutdown


def test_no_key_stays_claimed() -> None:
    shared: conveyor.SharedDict[str, int] = conveyor.SharedDict({"key": 0})

    def body() -> None:
        with shared.updating("key") as value:
            value.value += 1

    def check() -> None:
        before = shared["key"]
        with shared.updating("key", 0) as value:
            value.value = 0
        assert before >= 0

    at_any_edge(body, check)


def test_no_item_stays_leased() -> None:
    queue: conveyor.Queue[int] = conveyor.Queue()
    queue.put_many(range(20))

    def body() -> None:
        queue.put(1)
        with queue.lease(0):
            pass
        queue.put_many([1, 2])
        with queue.lease_many(2, 0):
            pass

    def check() -> None:
        assert queue.statistics().leased == 0

    at_any_edge(body, check)


def test_no_subscription_stays() -> None:
    topic: conveyor.Topic[int] = conveyor.Topic()

    def body() -> None:
        with topic.subscribe() as subscription:
            topic.publish(1)
            subscription.get_nowait()

    def check() -> None:
        assert len(topic.statistics().subscribers) == 0

    at_any_edge(body, check)


# ---- waits


@pytest.mark.parametrize("what", [name for name in LOCKED if name.startswith("Condition")])
def test_nobody_stays_behind_in_a_condition_and_swallows_a_notification(what: str) -> None:
    condition = LOCKED[what]()

    def body() -> None:
        with condition:
            condition.wait(20e-6)

    def check() -> None:
        free(condition)
        assert condition._waiting == 0

    at_any_edge(body, check)
    told = threading.Event()

    def wait() -> None:
        with condition:
            assert condition.wait(30)
        told.set()

    waiter = threading.Thread(target=wait)
    waiter.start()
    until(lambda: condition._waiting == 1, "the waiter")
    with condition:
        condition.notify(1)
    waiter.join(30)
    assert told.is_set()


@pytest.mark.parametrize("what", [name for name in LOCKED if name.startswith("Condition")])
def test_the_notification_of_one_who_is_interrupted_goes_to_another(what: str) -> None:
    condition = LOCKED[what]()
    main, native = threading.get_ident(), threading.get_native_id()
    told: list[bool] = []

    def wait_as_second() -> None:
        until(lambda: condition._waiting == 1, "the first")
        with condition:
            told.append(condition.wait(20))

    def notify_and_interrupt() -> None:
        until(lambda: condition._waiting == 2, "the second")
        with condition:
            condition.notify(1)
            # It was chosen, and wants the lock now, which we keep until its handler has run.
            until(lambda: thread_asleep(native), "the wait for the lock")
            signal.pthread_kill(main, signal.SIGALRM)
            interrupted.wait(20)

    interrupted = threading.Event()

    def handle(*_: object) -> None:
        interrupted.set()
        raise Interrupted

    others = [threading.Thread(target=each) for each in (wait_as_second, notify_and_interrupt)]
    with interrupting():
        signal.signal(signal.SIGALRM, handle)
        for other in others:
            other.start()
        with pytest.raises(Interrupted), condition:
            condition.wait(20)
    for other in others:
        other.join()
    assert told == [True]
    free(condition)


def test_the_last_to_arrive_opens_a_barrier_or_breaks_it() -> None:
    for _ in range(150):
        barrier = Barrier(2, action=lambda: sum(range(50)))
        outcome: list[Any] = []

        def wait(barrier: Any = barrier, outcome: Any = outcome) -> None:
            try:
                outcome.append(barrier.wait(20))
            except threading.BrokenBarrierError:
                outcome.append("broken")

        other = threading.Thread(target=wait)
        other.start()
        until(lambda barrier=barrier: barrier.n_waiting == 1, "the other")
        with interrupting():
            try:
                signal.setitimer(signal.ITIMER_REAL, 1e-6 + random.random() * 60e-6)
                barrier.wait()
                while True:
                    time.sleep(0.001)
            except Interrupted:
                if barrier.n_waiting:
                    barrier.abort()  # we had not arrived
        other.join(10)
        assert not other.is_alive()
        assert len(outcome) == 1


def test_ctrl_c_in_the_action_breaks_the_barrier() -> None:
    barrier = Barrier(2, action=lambda: signal.raise_signal(signal.SIGALRM))
    event = Event()

    def wait() -> None:
        with pytest.raises(threading.BrokenBarrierError):
            barrier.wait(20)
        event.set()

    other = threading.Thread(target=wait)
    other.start()
    until(lambda: barrier.n_waiting == 1, "the other")
    with interrupting(), pytest.raises(Interrupted):
        barrier.wait()
    other.join()
    assert event.is_set()
    assert barrier.broken
