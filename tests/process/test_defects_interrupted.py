"""Defects 22, 23 and 24: signals, finalizers, forks and threads in the middle of a call."""

from __future__ import annotations

import collections
import gc
import itertools
import multiprocessing
import os
import queue as standard
import signal
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from typing import Any

import pytest
from helpers import crew, finish, soundly_asleep, until

import conveyor


class Interrupted(Exception):
    pass


def interrupt(*_: object) -> None:
    raise Interrupted


@contextmanager
def handler(number: signal.Signals, what: Any) -> Iterator[None]:
    before = signal.signal(number, what)
    try:
        yield
    finally:
        signal.signal(number, before)


@contextmanager
def storm(seconds: float) -> Iterator[None]:
    """SIGALRM again and again; the handler must be set before, and must not raise."""
    signal.setitimer(signal.ITIMER_REAL, seconds, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def interrupted(seconds: float, call: Callable[[], object]) -> bool:
    """Whether `call()` was interrupted by one SIGALRM after that time, or returned before."""
    try:
        try:
            signal.setitimer(signal.ITIMER_REAL, seconds)
            call()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except Interrupted:
        return True
    return False


CALLS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "get": lambda empty, full, end: empty.get(),
    "get with a timeout": lambda empty, full, end: empty.get(timeout=100),
    "get_many": lambda empty, full, end: empty.get_many(),
    "_reader.poll": lambda empty, full, end: empty._reader.poll(None),
    "_reader.recv": lambda empty, full, end: empty._reader.recv(),
    "put": lambda empty, full, end: full.put(1),
    "put with a timeout": lambda empty, full, end: full.put(1, timeout=100),
    "put of a large item": lambda empty, full, end: full.put(b"x" * 100_000),
    "put_many": lambda empty, full, end: full.put_many([1, 2, 3]),
    "_writer.send": lambda empty, full, end: full._writer.send(1),
    "join": lambda empty, full, end: full.join(),
    "join with a timeout": lambda empty, full, end: full.join(timeout=100),
    "recv": lambda empty, full, end: end.recv(),
    "recv_bytes": lambda empty, full, end: end.recv_bytes(),
    "poll": lambda empty, full, end: end.poll(100),
    "send": lambda empty, full, end: [end.send(b"x" * 400_000) for _ in range(100)],
}


def call_and_tell(name: str, empty: Any, full: Any, end: Any, told: Any) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    told.send("ready")
    try:
        CALLS[name](empty, full, end)
    except KeyboardInterrupt:
        told.send("interrupted")
    else:
        told.send("returned")
    # The queues are as they were, and usable.
    told.send(empty.get(timeout=30))
    full.put("room again", timeout=30)


@pytest.mark.parametrize("name", CALLS)
def test_defect_22_control_c_interrupts_every_wait_and_takes_nothing(name: str) -> None:
    context = multiprocessing.get_context("fork")
    empty: conveyor.Queue[str] = conveyor.Queue()
    full: conveyor.JoinableQueue[str] = conveyor.JoinableQueue(1)
    full.put("full")
    mine, theirs = conveyor.Pipe()
    told, teller = context.Pipe(False)
    with crew() as members, mine, theirs, told, teller:
        process = context.Process(target=call_and_tell, args=(name, empty, full, theirs, teller))
        members.append(process)
        process.start()
        assert told.recv() == "ready"
        until(lambda: soundly_asleep(process.pid or 0), "it waits")
        os.kill(process.pid or 0, signal.SIGINT)
        assert told.poll(10), "the wait goes on after Ctrl-C"
        assert told.recv() == "interrupted"
        empty.put("item")
        assert told.recv() == "item"
        assert full.get(timeout=1) == "full"
        finish(process)
        assert full.get(timeout=1) == "room again"
        assert empty.empty()
        assert full.empty()


def test_defect_22_a_simple_queue_too() -> None:
    queue: conveyor.SimpleQueue[bytes] = conveyor.SimpleQueue()
    with handler(signal.SIGALRM, interrupt):
        assert interrupted(0.05, queue.get)
        assert interrupted(0.05, lambda: collections.deque(map(queue.put, itertools.repeat(b"x" * 200_000))))
    while not queue.empty():
        assert queue.get() == b"x" * 200_000


def trickle(queue: Any, count: int) -> None:
    for number in range(count):
        queue.put(number)
        if number % 50 == 0:
            time.sleep(0.001)  # so that the queue runs empty now and then


def test_defect_22_an_interrupted_get_never_consumes_an_item() -> None:
    count = 20_000
    queue: conveyor.Queue[int] = conveyor.Queue()
    received: list[int] = []
    interruptions = 0
    with crew() as members, handler(signal.SIGALRM, interrupt):
        members.append(multiprocessing.get_context("fork").Process(target=trickle, args=(queue, count)))
        members[0].start()
        # No bytecode runs between get's return and the list: only get itself could lose an item.
        while len(received) < count:
            interruptions += interrupted(0.0007, lambda: received.extend(iter(queue.get, None)))
        finish(members[0])
    assert received == list(range(count))
    assert interruptions > 20


def slow_reader(queue: Any, results: Any, last: int) -> None:
    received = []
    for number, _ in iter(queue.get, last):
        received.append(number)
        if number % 50 == 0:
            time.sleep(0.001)
    results.put(received)


@pytest.mark.parametrize("size", [0, 20_000])
def test_defect_22_an_interrupted_put_puts_nothing(size: int) -> None:
    count = 5000 if size else 20_000
    queue: conveyor.Queue[Any] = conveyor.Queue(5)
    results: conveyor.Queue[list[int]] = conveyor.Queue()
    interruptions = 0
    with crew() as members, handler(signal.SIGALRM, interrupt):
        process = multiprocessing.get_context("fork").Process(target=slow_reader, args=(queue, results, None))
        members.append(process)
        process.start()
        items = [(number, b"x" * size) for number in range(count + 1)]
        put = 0
        source = iter(items)
        # As above: if it is interrupted, then inside the put of the item that was drawn last, which
        # is put again. But after the last one it may have been interrupted outside of put.
        while interrupted(0.0007, lambda: collections.deque(map(queue.put, source), maxlen=0)):  # noqa: B023
            interruptions += 1
            drawn = len(items) - source.__length_hint__()
            if drawn == len(items):
                break
            put = max(put, drawn - 1)
            source = iter(items)
            source.__setstate__(put)
        queue.put(None)
        received = results.get(timeout=60)
        finish(process)
    assert received[:count] == list(range(count))
    assert interruptions > 20


KINDS: list[Any] = [conveyor.Queue, conveyor.JoinableQueue]


@pytest.mark.parametrize("kind", KINDS)
def test_defect_23_put_in_a_signal_handler_during_any_call(kind: Any) -> None:
    queue, count = kind(), itertools.count()
    with handler(signal.SIGALRM, lambda *_: queue.put_nowait(("signal", next(count)))):
        received = []
        with storm(0.0003):
            for number in range(5000):
                queue.put(("main", number, {"deep": [number]}, b"x" * (number % 20_000)))
                received.append(queue.get())
                queue.put_many([("main", -1)] * 3)
                received += queue.get_many(3)
                received.append(queue.get(timeout=1))
    while not queue.empty():
        received.append(queue.get())
    from_signals = [item[1] for item in received if item[0] == "signal"]
    # Sorted: a signal may come in the middle of the handler of the one before.
    assert sorted(from_signals) == list(range(next(count)))
    assert len(from_signals) > 20
    assert [item[1] for item in received if item[0] == "main" and item[1] >= 0] == list(range(5000))
    assert queue._check() == ""


def test_defect_23_put_in_a_signal_handler_while_get_waits_for_it() -> None:
    queue: conveyor.Queue[str] = conveyor.Queue()
    with handler(signal.SIGALRM, lambda *_: queue.put("from the handler")):
        for _ in range(20):
            signal.setitimer(signal.ITIMER_REAL, 0.005)
            assert queue.get(timeout=30) == "from the handler"


def test_defect_23_get_in_a_signal_handler_while_put_waits_for_it() -> None:
    queue: conveyor.Queue[int] = conveyor.Queue(1)
    queue.put(-1)
    received: list[int] = []
    with handler(signal.SIGALRM, lambda *_: received.append(queue.get_nowait())):
        for number in range(20):
            signal.setitimer(signal.ITIMER_REAL, 0.005)
            queue.put(number, timeout=30)
    assert received == list(range(-1, 19))


class PutsWhenItGoes:
    def __init__(self, queue: Any, what: object) -> None:
        self.queue, self.what, self.me = queue, what, self  # a cycle: only the collector ends it

    def __del__(self) -> None:
        self.queue.put(self.what)


class CollectsWhilePickled:
    """Runs the collector, and so finalizers, in the middle of a put."""

    def __reduce__(self) -> tuple[Any, ...]:
        gc.collect()
        return str, ("pickled",)


@pytest.mark.parametrize("kind", [*KINDS, conveyor.SimpleQueue])
def test_defect_23_put_in_a_finalizer_during_a_put(kind: Any) -> None:
    queue = kind()
    for number in range(30):
        PutsWhenItGoes(queue, ["from __del__", number])
        queue.put(CollectsWhilePickled())
        assert [queue.get(), queue.get()] == [["from __del__", number], "pickled"]
        assert queue.empty()


def test_defect_23_put_in_a_finalizer_that_the_encoding_itself_sets_off() -> None:
    queue: conveyor.Queue[Any] = conveyor.Queue()
    shared = ["met", "twice"]
    other = ("also", "shared")
    item = [shared, *({number} for number in range(50)), shared, other, frozenset([other]), other, shared]
    expected = repr(item)
    thresholds = gc.get_threshold()
    puts = 0
    try:
        for round_ in range(40):
            gc.collect()
            kept = [PutsWhenItGoes(queue, [shared, shared, round_, other]) for _ in range(3)]
            gc.set_threshold(2 + round_ % 40, 1, 1)  # whatever allocates may now collect
            del kept
            queue.put(item)
            gc.set_threshold(*thresholds)
            gc.collect()
            for _ in range(4):
                got = queue.get()
                if len(got) == 4:
                    assert got == [shared, shared, round_, other]
                    assert got[0] is got[1]
                    puts += 1
                else:
                    assert repr(got) == expected
                    assert got[0] is got[51] is got[-1]
    finally:
        gc.set_threshold(*thresholds)
    assert puts == 120
    assert queue.empty()


def test_defect_23_put_in_a_weakref_callback() -> None:
    queue: conveyor.Queue[str] = conveyor.Queue()

    class Target:
        pass

    class DropsWhilePickled:
        def __init__(self) -> None:
            self.target: Target | None = Target()

        def __reduce__(self) -> tuple[Any, ...]:
            self.target = None
            return str, ("pickled",)

    for _ in range(100):
        item = DropsWhilePickled()
        reference = weakref.ref(item.target, lambda _: queue.put("callback"))  # type: ignore[type-var]
        queue.put(item)  # type: ignore[arg-type]
        assert reference() is None
        assert queue.get_many() == ["callback", "pickled"]


def test_defect_23_standard_librarys_lock_is_not_reentrant() -> None:
    queue = multiprocessing.get_context("fork").Queue()
    with queue._notempty:  # type: ignore[attr-defined]  # as in the middle of a put
        assert not queue._notempty.acquire(False)  # type: ignore[attr-defined]  # so a put would block for ever


def use_inherited(queues: list[Any], results: Any) -> None:
    for queue in queues:
        queue.put("child")
        queue.get(timeout=30)
        queue.put_many(["a", {"b": Awkward()}])
        queue.get_many(2, timeout=30)
    results.put(os.getpid())


class Awkward:
    """Goes through pickle."""


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_defect_24_fork_while_other_threads_put_and_get() -> None:
    context = multiprocessing.get_context("fork")
    queues: list[Any] = [conveyor.Queue(), conveyor.Queue(10), conveyor.JoinableQueue(max_bytes=1 << 20)]
    for queue in queues:
        queue.put_many(range(5))  # so that no get waits for ever, whoever takes what
    results: conveyor.Queue[int] = conveyor.Queue()
    stop = threading.Event()

    def work(queue: Any) -> None:
        while not stop.is_set():
            queue.put([Awkward(), b"x" * 20_000], timeout=30)
            queue.get(timeout=30)

    threads = [threading.Thread(target=work, args=(queue,)) for queue in queues for _ in range(2)]
    with crew() as members:
        try:
            for thread in threads:
                thread.start()
            for _ in range(60):
                process: BaseProcess = context.Process(target=use_inherited, args=(queues, results))
                members.append(process)
                process.start()
                assert results.get(timeout=30) == process.pid
                finish(process)
        finally:
            stop.set()
            for thread in threads:
                thread.join(30)
        assert not any(thread.is_alive() for thread in threads)
    for queue in queues:
        assert queue._check() == ""


def test_defect_22_timeouts_count_through_signals() -> None:
    queue: conveyor.Queue[int] = conveyor.Queue()
    with handler(signal.SIGALRM, lambda *_: None), storm(0.002):
        start = time.monotonic()
        with pytest.raises(standard.Empty):
            queue.get(timeout=0.2)
        assert 0.2 <= time.monotonic() - start < 5
