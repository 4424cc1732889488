"""Queue, JoinableQueue and SimpleQueue in one process: every method, argument, exception and edge."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import multiprocessing.queues
import pickle
import queue as standard
import select
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import conveyor
from conveyor.errors import ConveyorError, ItemTooLarge

Queue: Any = conveyor.Queue
JoinableQueue: Any = conveyor.JoinableQueue
SimpleQueue: Any = conveyor.SimpleQueue
both = pytest.mark.parametrize("kind", [Queue, JoinableQueue])
every = pytest.mark.parametrize("kind", [Queue, JoinableQueue, SimpleQueue])

# From None to what only a run of its own pages holds; 16 KiB is where that begins.
ITEMS = [
    None,
    0,
    "text",
    (42, "abc", 3.14, {"k": 1}),
    b"",
    *(b"x" * size for size in (16383, 16384, 16385, 65535, 65536, 65537, 1_000_000)),
    ["y" * size for size in (10_000, 20_000)],
    {"array": bytearray(b"z" * 100_000)},
]


def failing() -> Any:
    raise ZeroDivisionError("while it is unpickled")


class FailsOnArrival:
    def __reduce__(self) -> Any:
        return failing, ()


@every
def test_items_of_all_sizes_in_order(kind: Any) -> None:
    queue = kind()
    for item in ITEMS:
        queue.put(item)
        assert queue.get() == item
    small = [item for item in ITEMS if not isinstance(item, bytes) or len(item) < 100_000]
    for item in small:
        queue.put(item)
    assert [queue.get() for _ in small] == small


@both
def test_the_standard_librarys_signatures(kind: Any) -> None:
    # Given by position or by name, whatever multiprocessing takes.
    queue = kind(maxsize=2, ctx=multiprocessing.get_context("spawn"))
    queue.put(1, True, None)
    queue.put(obj=2, block=False, timeout=5)
    assert queue.get(False, 5) == 1
    assert queue.get(block=True, timeout=0) == 2
    queue.put_nowait(3)
    queue.put_nowait(obj=4)
    assert (queue.get_nowait(), queue.get_nowait()) == (3, 4)
    theirs = {name for name in dir(multiprocessing.queues.Queue) if not name.startswith("_")}
    assert theirs <= set(dir(kind))
    assert issubclass(JoinableQueue, Queue)
    assert not issubclass(SimpleQueue, Queue)


@both
def test_block_takes_any_truth(kind: Any) -> None:
    queue = kind(1)
    queue.put("item", [])
    with pytest.raises(standard.Full):
        queue.put("item", 0)
    assert queue.get("yes", 1.5) == "item"
    with pytest.raises(standard.Empty):
        queue.get("")


@pytest.mark.parametrize("timeout", [-1, -1e300, 0, 0.0, -0.0])
@both
def test_no_time_is_no_wait(kind: Any, timeout: float) -> None:
    queue = kind(1)
    with pytest.raises(standard.Empty):
        queue.get(True, timeout)
    with pytest.raises(standard.Empty):
        queue.get_many(5, timeout)
    queue.put(1, True, timeout)
    with pytest.raises(standard.Full):
        queue.put(2, True, timeout)
    assert queue.get(True, timeout) == 1


@both
def test_a_timeout_bounds_the_whole_call(kind: Any) -> None:
    queue = kind(1)
    queue.put("full")
    calls: list[tuple[Callable[[], Any], type[Exception]]] = [
        (lambda: queue.put(1, timeout=0.1), standard.Full),
        (lambda: queue.put(b"x" * 1_000_000, timeout=0.1), standard.Full),
        (lambda: queue.put_many([1, 2], timeout=0.1), standard.Full),
        (lambda: kind().get(timeout=0.1), standard.Empty),
        (lambda: kind().get_many(timeout=0.1), standard.Empty),
    ]
    for call, error in calls:
        start = time.monotonic()
        with pytest.raises(error):
            call()
        assert 0.1 <= time.monotonic() - start < 3


@pytest.mark.parametrize("timeout", ["1", [], object()])
@both
def test_timeouts_are_numbers(kind: Any, timeout: Any) -> None:
    queue = kind()
    with pytest.raises(TypeError):
        queue.put(1, timeout=timeout)
    assert queue.empty()
    queue.put(1)
    with pytest.raises(TypeError):
        queue.get(timeout=timeout)
    with pytest.raises(ValueError, match="nan"):
        queue.get(timeout=float("nan"))
    assert queue.get(timeout=float("inf")) == 1


@both
def test_maxsize(kind: Any) -> None:
    queue = kind(3)
    assert (queue.qsize(), queue.empty(), queue.full()) == (0, True, False)
    for number in range(3):
        assert not queue.full()
        queue.put(number)
    assert (queue.qsize(), queue.empty(), queue.full()) == (3, False, True)
    with pytest.raises(standard.Full):
        queue.put_nowait(4)
    assert queue.get() == 0
    queue.put(3)
    assert [queue.get() for _ in range(3)] == [1, 2, 3]
    for unbounded in (0, -1, -(10**30)):
        assert not kind(unbounded).full()
        assert kind(unbounded)._maxsize == 2**31 - 1
    assert kind(7)._maxsize == 7


@both
def test_max_bytes(kind: Any) -> None:
    queue = kind(max_bytes=10_000)
    queue.put(b"x" * 10_000)
    assert queue.full()
    with pytest.raises(standard.Full):
        queue.put_nowait(b"x")
    queue.get()
    for size in (10_001, 100_000):
        with pytest.raises(ItemTooLarge, match=r"10000.*max_bytes") as caught:
            queue.put(b"x" * size)
        assert str(size) in str(caught.value)
        assert isinstance(caught.value, (ConveyorError, ValueError))
    assert queue.empty()
    with pytest.raises(ItemTooLarge) as caught:
        queue.put_many([b"a", b"x" * 20_000, b"b"])
    assert caught.value.items_put == 1  # type: ignore[attr-defined]
    assert queue.get_many() == [b"a"]
    assert queue._check() == ""
    with pytest.raises(ValueError, match="max_bytes"):
        kind(max_bytes=0)
    with pytest.raises(ValueError, match="max_bytes"):
        kind(max_bytes=-1)
    with pytest.raises(TypeError, match="max_bytes"):
        kind(max_bytes=1.5)
    kind(max_bytes=2**80).put(1)


@both
def test_closed_is_closed_in_this_process(kind: Any) -> None:
    queue = kind()
    queue.put("item")
    with pytest.raises(AssertionError, match="not closed"):
        queue.join_thread()
    queue.cancel_join_thread()
    queue.close()
    queue.close()
    for call in (
        lambda: queue.put(1),
        lambda: queue.put_nowait(1),
        lambda: queue.put_many([1]),
        queue.get,
        queue.get_nowait,
        queue.get_many,
    ):
        with pytest.raises(ValueError, match=r"Queue <.*> is closed"):
            call()
    with pytest.raises(OSError, match="is closed"):
        queue.empty()
    assert queue.qsize() == 1
    assert not queue.full()
    queue.join_thread()
    queue.cancel_join_thread()
    unused = kind()
    unused.close()
    assert unused.empty()
    # What was put before is not lost for others.
    assert pickle.loads(pickle.dumps(queue)).get() == "item"
    conveyor.Queue()


def test_a_closed_simple_queue() -> None:
    queue = SimpleQueue()
    queue.put(1)
    queue.close()
    queue.close()
    for call in (lambda: queue.put(1), queue.get, queue.empty, queue._reader.poll, queue._reader.fileno):
        with pytest.raises(OSError, match="is closed"):
            call()
    assert queue._reader.closed
    assert queue._writer.closed


def test_tasks() -> None:
    queue = JoinableQueue()
    assert queue.join() is True
    with pytest.raises(ValueError, match="too many times"):
        queue.task_done()
    queue.put_many([1, 2])
    queue.put(3)
    for _ in range(3):
        assert queue.join(0) is False
        assert queue.join(timeout=0.01) is False
        queue.get()
        queue.task_done()
    assert queue.join(timeout=None) is True
    with pytest.raises(ValueError, match="too many times"):
        queue.task_done()
    queue.put(4)
    done = threading.Thread(target=lambda: (queue.get(), queue.task_done()))
    done.start()
    queue.join()
    done.join()


@both
def test_batches(kind: Any) -> None:
    queue = kind()
    queue.put_many([])
    assert queue.empty()
    for items in ([1], (2, 3), {4: 0}, iter([5]), (number for number in (6, 7)), "89"):
        queue.put_many(items)
    assert queue.get_many(2) == [1, 2]
    assert queue.get_many(max_items=100, timeout=0, block=False) == [3, 4, 5, 6, 7, "8", "9"]
    queue.put_many(ITEMS)
    assert queue.get_many(10**9) == ITEMS
    with pytest.raises(standard.Empty):
        queue.get_many(block=False)
    queue.put(1)
    for wrong in (0, -1):
        with pytest.raises(ValueError, match=f"max_items is {wrong}"):
            queue.get_many(wrong)
    with pytest.raises(TypeError):
        queue.get_many("5")
    with pytest.raises(TypeError):
        queue.put_many(5)
    assert queue.get_many() == [1]


def test_get_many_takes_all_that_is_there() -> None:
    queue = Queue()
    for first in range(20):
        queue.put("first")
        assert queue.get() == "first"
        queue.put_many(range(first))
        queue.put("last")
        assert queue.get_many() == [*range(first), "last"]


def test_get_many_returns_100_by_default() -> None:
    queue = Queue()
    queue.put_many(range(150))
    assert queue.get_many() == list(range(100))
    assert queue.get_many() == list(range(100, 150))


@both
def test_a_batch_that_finds_no_room_says_how_many_are_in(kind: Any) -> None:
    for items in (list(range(10)), [b"x" * 30_000] * 10):
        queue = kind(4)
        for options in ({"block": False}, {"timeout": 0.02}):
            with pytest.raises(standard.Full) as caught:
                queue.put_many(items, **options)
            assert caught.value.items_put == 4  # type: ignore[attr-defined]
            assert queue.get_many() == items[:4]
        queue.put(0)
        with pytest.raises(standard.Full) as caught:
            queue.put_many(items, False)
        assert caught.value.items_put == 3  # type: ignore[attr-defined]
        assert queue._check() == ""


def test_a_batch_waits_for_room() -> None:
    queue = Queue(3)
    received: list[int] = []
    thread = threading.Thread(target=lambda: received.extend(queue.get() for _ in range(100)))
    thread.start()
    queue.put_many(range(100))
    thread.join()
    assert received == list(range(100))


def test_one_who_only_waits_for_an_item_leaves_no_getter_asleep() -> None:
    queue = Queue()
    taken: list[float] = []
    waiter = threading.Thread(target=queue._reader.poll, args=(10,))
    getter = threading.Thread(target=lambda: taken.extend((queue.get(), time.monotonic())))
    waiter.start()
    time.sleep(0.05)  # the one wake-up is for the first
    getter.start()
    time.sleep(0.7)  # both are in a sleep of 0.64 s
    put = time.monotonic()
    queue.put(1)
    waiter.join()
    getter.join()
    assert taken[1] - put < 0.3


def test_an_iterable_that_fails_puts_nothing() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ZeroDivisionError

    queue = Queue()
    with pytest.raises(ZeroDivisionError):
        queue.put_many(items())
    assert queue.empty()


def test_an_item_that_cannot_be_unpickled() -> None:
    queue = Queue()
    queue.put_many([1, FailsOnArrival(), 2])
    assert queue.get_many() == [1, 2]
    with pytest.raises(ZeroDivisionError):
        queue.get_many(timeout=0)
    queue.put_many([FailsOnArrival(), "next"])
    with pytest.raises(ZeroDivisionError):
        queue.get()
    assert queue.get() == "next"


class Lenient(conveyor.Queue[Any]):
    errors: list[tuple[Exception, object]]

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.errors = []

    def _on_queue_feeder_error(self, e: Exception, obj: object) -> None:  # type: ignore[override]
        self.errors.append((e, obj))


def test_a_subclass_may_be_told_of_what_cannot_be_pickled() -> None:
    queue, bad = Lenient(maxsize=2), threading.Lock()
    queue.put(bad)
    queue.put_many([1, bad, 2])
    assert [(type(error), item) for error, item in queue.errors] == [(TypeError, bad)] * 2
    assert queue.get_many() == [1, 2]

    class Strict(Lenient):
        def _on_queue_feeder_error(self, e: Exception, obj: object) -> None:  # type: ignore[override]
            raise e

    with pytest.raises(TypeError):
        Strict().put(bad)


def test_the_ready_descriptor() -> None:
    for queue in (Queue(), JoinableQueue(), SimpleQueue()):
        ready = select.poll()
        ready.register(queue._reader.fileno(), select.POLLIN)
        for _ in range(3):
            assert not ready.poll(0)
            assert not multiprocessing.connection.wait([queue._reader], 0)
            assert not queue._reader.poll()
            queue.put(1)
            queue.put(2)
            for item in (1, 2):
                assert ready.poll(0)
                assert multiprocessing.connection.wait([queue._reader], 0) == [queue._reader]
                assert queue._reader.poll(None)
                assert queue._reader.recv() == item
    assert queue._reader.readable
    assert queue._writer.writable


def test_the_ends_that_other_code_uses() -> None:
    queue = Queue()
    queue._writer.send({"a": 1})
    assert queue.get() == {"a": 1}
    queue._writer.send_bytes(pickle.dumps([1, 2]))
    assert queue.get() == [1, 2]
    for item in ((1, 2), b"bytes", FailsOnArrival, {"x": b"y" * 100_000}):
        queue.put(item)
        assert pickle.loads(queue._reader.recv_bytes()) == item
    with queue._rlock, queue._wlock:
        assert queue._rlock.acquire(True, 1)
        queue._rlock.release()
    queue._reader.close()
    with pytest.raises(OSError, match="closed"):
        queue._reader.recv()
