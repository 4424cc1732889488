"""Signals that come while a wait is not asleep: between two slices of it, or on its way to sleep.

Such a signal interrupts no system call: the wait hears of it only if it looks. Here the waiting thread has the signal
blocked, so that another thread is given it, and no call of the waiting one is ever interrupted.
"""

from __future__ import annotations

import os
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
from conveyor import Barrier, BoundedSemaphore, Condition, Event, Lock, RLock, Semaphore

# Waits that end by themselves last so long; a signal is heard in a small part of it.
PATIENCE = 40.0
HEARD = 10.0


class Heard(Exception):
    pass


def hear(*_: object) -> None:
    raise Heard


def aside(stack: ExitStack, block: Any) -> None:
    """Enter the block in another thread, and leave it when the stack is closed."""
    inside, leave = threading.Event(), threading.Event()

    def stay() -> None:
        with block:
            inside.set()
            leave.wait()

    thread = threading.Thread(target=stay)
    thread.start()
    inside.wait()
    stack.callback(thread.join)
    stack.callback(leave.set)


def kept(make: Callable[[], Any]) -> Callable[[ExitStack], Any]:
    def build(stack: ExitStack) -> Any:
        lock = make()
        aside(stack, lock)
        return lock

    return build


def new(make: Callable[..., Any], *arguments: Any) -> Callable[[ExitStack], Any]:
    return lambda stack: make(*arguments)


def claimed(stack: ExitStack) -> Any:
    shared: Any = conveyor.SharedDict({"key": 1})
    aside(stack, shared.updating("key"))
    return shared


def filled(stack: ExitStack) -> Any:
    queue: conveyor.Queue[int] = conveyor.Queue(1)
    queue.put(1)
    return queue


def unfinished(stack: ExitStack) -> Any:
    queue: conveyor.JoinableQueue[int] = conveyor.JoinableQueue()
    queue.put(1)
    return queue


def pipe(stack: ExitStack) -> Any:
    ends = conveyor.Pipe()
    for end in ends:
        stack.callback(end.close)
    return ends


def full_pipe(stack: ExitStack) -> Any:
    ends = pipe(stack)
    ends[0].send(bytes((1 << 20) - 4096))
    return ends


def full_topic(stack: ExitStack) -> Any:
    topic: conveyor.Topic[bytes] = conveyor.Topic(max_bytes=4096)
    stack.enter_context(topic.subscribe())
    with pytest.raises(conveyor.Full):
        while True:
            topic.publish(b"x" * 500, timeout=0)
    return topic


def subscription(stack: ExitStack) -> Any:
    return stack.enter_context(conveyor.Topic().subscribe())


def inside(condition: Any, wait: Callable[[Any], object]) -> None:
    with condition:
        wait(condition)


# What is waited for, and how.
WAITS: dict[str, tuple[Callable[[ExitStack], Any], Callable[[Any], object]]] = {
    "lock": (kept(Lock), lambda lock: lock.acquire(timeout=PATIENCE)),
    "lock by with": (kept(Lock), lambda lock: lock.__enter__()),
    "rlock": (kept(RLock), lambda lock: lock.acquire(True, PATIENCE)),
    "semaphore": (new(Semaphore, 0), lambda s: s.acquire(timeout=PATIENCE)),
    "semaphore by with": (new(Semaphore, 0), lambda s: s.__enter__()),
    "bounded semaphore": (kept(BoundedSemaphore), lambda s: s.acquire()),
    "event": (new(Event), lambda event: event.wait(PATIENCE)),
    "event for ever": (new(Event), lambda event: event.wait()),
    "condition": (new(Condition), lambda c: inside(c, lambda c: c.wait(PATIENCE))),
    "condition on a lock": (new(lambda: Condition(Lock())), lambda c: inside(c, lambda c: c.wait())),
    "condition, wait_for": (new(Condition), lambda c: inside(c, lambda c: c.wait_for(int, PATIENCE))),
    "condition, taken": (kept(Condition), lambda c: c.acquire()),
    "barrier": (new(Barrier, 2), lambda barrier: barrier.wait(PATIENCE)),
    "value": (new(conveyor.SharedValue, int), lambda value: value.wait_for(bool, PATIENCE)),
    "dict": (new(conveyor.SharedDict), lambda shared: shared.wait("key", PATIENCE)),
    "claimed key": (claimed, lambda shared: shared.__setitem__("key", 2)),
    "claim": (claimed, lambda shared: shared.updating("key", PATIENCE).__enter__()),
    "get": (new(conveyor.Queue), lambda queue: queue.get(timeout=PATIENCE)),
    "get for ever": (new(conveyor.Queue), lambda queue: queue.get()),
    "get_many": (new(conveyor.Queue), lambda queue: queue.get_many(3, timeout=PATIENCE)),
    "lease": (new(conveyor.Queue), lambda queue: queue.lease(PATIENCE)),
    "iteration": (new(conveyor.Queue), lambda queue: next(iter(queue))),
    "get of a simple one": (new(conveyor.SimpleQueue), lambda queue: queue.get()),
    "put": (filled, lambda queue: queue.put(1, timeout=PATIENCE)),
    "put_many": (filled, lambda queue: queue.put_many([1, 2], timeout=PATIENCE)),
    "put of a large one": (filled, lambda queue: queue.put(bytes(1 << 20), timeout=PATIENCE)),
    "join": (unfinished, lambda queue: queue.join()),
    "recv": (pipe, lambda ends: ends[0].recv()),
    "poll": (pipe, lambda ends: ends[0].poll(PATIENCE)),
    "send": (full_pipe, lambda ends: ends[0].send(bytes(1 << 19))),
    "send of a large one": (pipe, lambda ends: ends[0].send(bytes(1 << 22))),
    "subscription": (subscription, lambda s: s.get(timeout=PATIENCE)),
    "subscription, iterated": (subscription, lambda s: next(s)),
    "publish": (full_topic, lambda topic: topic.publish(b"x" * 500, timeout=PATIENCE)),
}


@contextmanager
def deaf() -> Iterator[None]:
    """No call of this thread's is interrupted by SIGUSR1: another thread takes it."""
    ended, ready = threading.Event(), threading.Event()

    def take() -> None:
        ready.set()
        ended.wait()

    before = signal.signal(signal.SIGUSR1, hear)
    taker = threading.Thread(target=take)
    taker.start()
    ready.wait()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})
        signal.signal(signal.SIGUSR1, before)
        ended.set()
        taker.join()


@pytest.mark.parametrize("what", WAITS)
def test_a_signal_that_interrupts_no_call_is_heard(what: str) -> None:
    make, wait = WAITS[what]
    main = threading.get_native_id()
    sent = 0.0

    def send() -> None:
        nonlocal sent
        until(lambda: thread_asleep(main), "the wait")
        sent = time.monotonic()
        os.kill(os.getpid(), signal.SIGUSR1)

    with ExitStack() as stack, deaf():
        thing = make(stack)
        sender = threading.Thread(target=send)
        sender.start()
        with pytest.raises(Heard):
            wait(thing)
        assert time.monotonic() - sent < HEARD
        sender.join()


@pytest.mark.parametrize(
    "what", ["lock", "rlock", "event", "condition", "semaphore", "barrier", "get", "put", "recv"]
)
def test_one_signal_at_any_instant_is_heard(what: str) -> None:
    # One each, on the way to sleep and in the first slices; and the GIL and the processors are wanted by others.
    make, wait = WAITS[what]
    chance = random.Random(what)
    before = signal.signal(signal.SIGALRM, hear)
    stop = threading.Event()

    def spin() -> None:
        while not stop.is_set():
            sum(range(200))

    spinners = [threading.Thread(target=spin) for _ in range(2)]
    for spinner in spinners:
        spinner.start()
    try:
        for _ in range(15):
            with ExitStack() as stack:
                thing = make(stack)
                seconds = chance.choice([0.0002, 0.002, 0.03]) * (1 + chance.random())
                with pytest.raises(Heard):
                    signal.setitimer(signal.ITIMER_REAL, seconds)
                    began = time.monotonic()
                    wait(thing)
                assert time.monotonic() - began < HEARD
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        stop.set()
        for spinner in spinners:
            spinner.join()
        signal.signal(signal.SIGALRM, before)
