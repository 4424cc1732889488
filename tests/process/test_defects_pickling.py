"""Defects 5, 7, 20, 33 and 34: errors come where they belong, any size passes, any wait has an end."""

from __future__ import annotations

import multiprocessing
import multiprocessing.queues
import pickle
import queue as standard
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from helpers import METHODS, crew, finish

import conveyor


class Awkward:
    """Raises an error of that type and text while it is pickled or unpickled."""

    def __init__(self, error: type[Exception], text: str, when: str) -> None:
        self.error, self.text, self.when = error, text, when

    def __reduce__(self) -> tuple[Any, ...]:
        if self.when == "pickling":
            raise self.error(self.text)
        return fail, (self.error, self.text)


def fail(error: type[Exception], text: str) -> None:
    raise error(text)


UNPICKLABLE = [
    lambda: None,
    threading.Lock(),
    (number for number in range(3)),
    Awkward(ZeroDivisionError, "in __reduce__", "pickling"),
    {"deep": [{"inside": threading.Lock()}]},
    [b"x" * 100_000, lambda: None],
]


def expected_error(item: object) -> type[BaseException]:
    try:
        pickle.dumps(item, 5)
    except Exception as error:
        return type(error)
    raise AssertionError("it can be pickled")


@pytest.mark.parametrize("kind", [conveyor.Queue, conveyor.JoinableQueue, conveyor.SimpleQueue])
@pytest.mark.parametrize("item", UNPICKLABLE, ids=lambda item: type(item).__name__)
def test_defect_05_put_itself_raises_and_leaves_the_queue_as_it_was(kind: Any, item: object) -> None:
    queue = kind()
    queue.put("before")
    before = queue.statistics()
    with pytest.raises(expected_error(item)):
        queue.put(item)
    assert queue.statistics() == before
    assert queue._check() == ""
    queue.put("after")
    assert [queue.get(), queue.get()] == ["before", "after"]
    assert queue.empty()


@pytest.mark.parametrize("item", UNPICKLABLE, ids=lambda item: type(item).__name__)
def test_defect_05_put_many_puts_none_if_one_cannot_be_pickled(item: object) -> None:
    queue: conveyor.Queue[object] = conveyor.Queue()
    with pytest.raises(expected_error(item)):
        queue.put_many([1, b"x" * 50_000, item, 2])
    assert queue.empty()
    assert queue._check() == ""


def test_defect_05_send_raises() -> None:
    receiving, sending = conveyor.Pipe(False)
    with receiving, sending:
        with pytest.raises(expected_error(UNPICKLABLE[0])):
            sending.send(UNPICKLABLE[0])
        assert not receiving.poll()
        sending.send("after")
        assert receiving.recv() == "after"


class Told(multiprocessing.queues.Queue):  # type: ignore[name-defined,type-arg,misc]
    errors: conveyor.Queue[str] = conveyor.Queue()

    @staticmethod
    def _on_queue_feeder_error(e: Exception, obj: object) -> None:
        Told.errors.put(type(e).__name__)


def test_defect_05_standard_library_returns_from_put() -> None:
    queue = Told(ctx=multiprocessing.get_context("fork"))
    queue.put(UNPICKLABLE[3])  # no error here
    assert Told.errors.get(timeout=30) == "ZeroDivisionError"  # but elsewhere
    queue.close()
    queue.join_thread()


def test_defect_07_a_failed_put_is_no_task() -> None:
    queue: conveyor.JoinableQueue[object] = conveyor.JoinableQueue()
    for item in UNPICKLABLE:
        with pytest.raises(expected_error(item)):
            queue.put(item)
    with pytest.raises(ZeroDivisionError):
        queue.put_many([1, 2, UNPICKLABLE[3]])
    assert queue.join(timeout=0) is True
    queue.put("task")
    assert queue.join(timeout=0) is False
    queue.get()
    queue.task_done()
    assert queue.join(timeout=0) is True
    with pytest.raises(ValueError, match="too many times"):
        queue.task_done()


def test_defect_07_a_put_that_finds_no_room_is_no_task() -> None:
    queue: conveyor.JoinableQueue[int] = conveyor.JoinableQueue(1)
    queue.put(1)
    for _ in range(3):
        with pytest.raises(standard.Full):
            queue.put(2, timeout=0.01)
    queue.get()
    queue.task_done()
    assert queue.join(timeout=0) is True


class ToldJoinable(multiprocessing.queues.JoinableQueue, Told):  # type: ignore[name-defined,type-arg,misc]
    pass


def test_defect_07_standard_library_counts_it() -> None:
    queue = ToldJoinable(ctx=multiprocessing.get_context("fork"))
    queue.put(UNPICKLABLE[3])
    assert Told.errors.get(timeout=30) == "ZeroDivisionError"
    assert queue._unfinished_tasks.get_value() == 1
    queue.close()
    queue.join_thread()


def put_huge(queue: Any, size: int) -> None:
    block = b"".join(number.to_bytes(8, "little") for number in range(1 << 17))  # 1 MiB
    # In a tuple it is pickled; the bytes alone would not be.
    queue.put(("huge", block * (size // len(block))))


@pytest.mark.slow
def test_defect_20_more_than_two_gib() -> None:
    size = 2056 << 20
    available = next(
        int(line.split()[1]) * 1024
        for line in Path("/proc/meminfo").read_text().splitlines()
        if line.startswith("MemAvailable")
    )
    if available < 5 * size:
        pytest.skip(f"needs {5 * size >> 30} GiB of free memory, there are {available >> 30}")
    queue: conveyor.Queue[tuple[str, bytes]] = conveyor.Queue()
    with crew() as members:
        members.append(multiprocessing.get_context("fork").Process(target=put_huge, args=(queue, size)))
        members[0].start()
        name, data = queue.get(timeout=100)
        finish(members[0])
    assert (name, len(data)) == ("huge", size)
    block = data[: 1 << 20]
    assert block == b"".join(number.to_bytes(8, "little") for number in range(1 << 17))
    view = memoryview(data)
    assert all(view[start : start + len(block)] == block for start in range(0, size, len(block)))
    del view, data
    queue.put("small")  # type: ignore[arg-type]
    assert queue.get(timeout=1) == "small"  # type: ignore[comparison-overlap]
    assert queue.statistics().memory_held < 100 << 20


@pytest.mark.parametrize("size", [0, 40_000])
@pytest.mark.parametrize("kind", [conveyor.Queue, conveyor.JoinableQueue, conveyor.SimpleQueue])
def test_defect_33_an_unpickling_error_is_raised_by_get_and_the_queue_goes_on(kind: Any, size: int) -> None:
    queue = kind()
    queue.put((Awkward(ZeroDivisionError, "on arrival", "unpickling"), b"x" * size))
    queue.put("next")
    with pytest.raises(ZeroDivisionError, match="on arrival"):
        queue.get()
    assert queue.get() == "next"
    assert queue.empty()
    assert queue._check() == ""


def test_defect_33_get_many_keeps_the_others() -> None:
    queue: conveyor.Queue[object] = conveyor.Queue()
    bad = Awkward(ZeroDivisionError, "on arrival", "unpickling")
    queue.put_many([1, bad, b"x" * 50_000, Awkward(KeyError, "later", "unpickling"), 3])
    assert queue.get_many() == [1, b"x" * 50_000, 3]
    for error in (ZeroDivisionError, KeyError):
        with pytest.raises(error):
            queue.get_many(timeout=0)
    assert queue.empty()
    assert queue._check() == ""


def consume_whatever_comes(queue: Any, results: Any) -> None:
    while True:
        try:
            got = queue.get()
        except ZeroDivisionError as error:
            got = str(error)
        results.put(got)
        if got is None:
            return


@pytest.mark.parametrize("method", METHODS)
def test_defect_33_consumers_survive_it(method: str) -> None:
    queue: conveyor.Queue[object] = conveyor.Queue()
    results: conveyor.Queue[object] = conveyor.Queue()
    with crew() as members:
        target, arguments = consume_whatever_comes, (queue, results)
        members.append(multiprocessing.get_context(method).Process(target=target, args=arguments))
        members[0].start()
        for item in (1, Awkward(ZeroDivisionError, "poison", "unpickling"), 2, None):
            queue.put(item)
        assert [results.get(timeout=30) for _ in range(4)] == [1, "poison", 2, None]
        finish(members[0])


BLOCKED_CALLS = {
    "put": (lambda full, _: full.put(1, timeout=0.05), standard.Full),
    "put of a large item": (lambda full, _: full.put(b"x" * 200_000, timeout=0.05), standard.Full),
    "put_many": (lambda full, _: full.put_many([1, 2], timeout=0.05), standard.Full),
    "get": (lambda _, empty: empty.get(timeout=0.05), standard.Empty),
    "get_many": (lambda _, empty: empty.get_many(timeout=0.05), standard.Empty),
    "join": (lambda full, _: full.join(timeout=0.05), None),
    "poll": (lambda _, empty: empty._reader.poll(0.05), None),
}


@pytest.mark.parametrize("name", BLOCKED_CALLS)
def test_defect_34_every_blocking_call_has_a_timeout(name: str) -> None:
    full: conveyor.JoinableQueue[int] = conveyor.JoinableQueue(1)
    empty: conveyor.Queue[int] = conveyor.Queue()
    full.put(0)
    call, error = BLOCKED_CALLS[name]
    start = time.monotonic()
    if error is None:
        assert call(full, empty) is False
    else:
        with pytest.raises(error):
            call(full, empty)
    assert 0.05 <= time.monotonic() - start < 5
    assert full.get_many() == [0]


def test_defect_34_a_simple_queues_put_does_not_wait_for_64_kib() -> None:
    queue: conveyor.SimpleQueue[bytes] = conveyor.SimpleQueue()
    queue.put(b"x" * 2_000_000)  # returns, though nobody reads
    assert queue.get() == b"x" * 2_000_000


def test_defect_34_standard_library_blocks_there() -> None:
    queue = multiprocessing.get_context("fork").SimpleQueue()
    with crew() as members:
        process = multiprocessing.get_context("fork").Process(target=queue.put, args=(b"x" * 100_000,))
        members.append(process)
        process.start()
        process.join(0.5)
        assert process.exitcode is None
    queue.close()
