"""`Queue.peek` in shared memory: copies of what waits, and the queue is as it was."""

from __future__ import annotations

import os
import select
import signal
import threading
import uuid
from typing import Any

import numpy as np
import pytest

import conveyor
from conveyor import CodecMismatch


class Unreadable:
    def __reduce__(self) -> Any:
        return _fail, ()


class Stops:
    def __reduce__(self) -> Any:
        return _stop, ()


def _fail() -> None:
    raise LookupError("not here")


def _stop() -> None:
    raise KeyboardInterrupt


def test_arrays_are_copies() -> None:
    queue: Any = conveyor.Queue()
    array = np.arange(100_000)
    queue.put({"array": array, "small": np.arange(5), "bytes": b"x" * 200_000})
    in_place = queue.allocate(50_000)
    in_place[:] = 7
    queue.put(in_place)
    held = queue.statistics().memory_lent
    first, second = queue.peek(2)
    first["array"][:] = 0
    second[:] = 0
    assert queue.statistics().memory_lent == held
    shown, also = queue.peek(9)
    assert np.array_equal(shown["array"], array)
    assert (also == 7).all()
    assert np.array_equal(queue.get()["array"], array)
    assert (queue.get() == 7).all()
    assert queue.peek() == []


@pytest.mark.parametrize("codec", ["auto", "pickle", "json", "msgpack"])
def test_what_lies_beside_the_message(codec: str) -> None:
    queue: Any = conveyor.Queue(codec=codec)
    items = [list(range(20_000)), "x" * 300_000, "", {"a": ["b"] * 10_000}]
    queue.put_many(items)
    assert queue.peek(9) == items
    assert queue.get_many() == items


def test_what_cannot_be_read_hides_nothing() -> None:
    queue: Any = conveyor.Queue()
    queue.put_many([1, Unreadable(), 2, Unreadable()])
    with pytest.raises(LookupError, match="not here") as error:
        queue.peek(9)
    assert error.value.items_received == [1, 2]  # type: ignore[attr-defined]
    assert isinstance(error.value.raw, bytes)  # type: ignore[attr-defined]
    assert queue.qsize() == 4
    queue.put_many([Stops(), 3])
    with pytest.raises(KeyboardInterrupt) as stopped:
        queue.peek(9)
    assert stopped.value.items_received == [1, 2]  # type: ignore[attr-defined]
    assert queue.qsize() == 6


def test_another_codec_is_refused() -> None:
    url = f"shm://test-peek-{uuid.uuid4().hex}"
    try:
        queue, other = conveyor.connect(url), conveyor.connect(url, codec="json")
        queue.put(1)
        other.put(2)
        with pytest.raises(CodecMismatch) as error:
            queue.peek(2)
        assert error.value.items_received == [1]  # type: ignore[attr-defined]
        assert queue.get() == 1
        assert other.peek() == [2]
    finally:
        conveyor.remove(url)


def test_no_task_is_counted() -> None:
    queue: Any = conveyor.JoinableQueue()
    queue.put(1)
    assert queue.peek(3) == [1]
    queue.get()
    queue.task_done()
    with pytest.raises(ValueError, match="task_done"):
        queue.task_done()
    queue.join()


def test_what_is_due_again_is_shown() -> None:
    queue: Any = conveyor.Queue()
    queue.put_many("abc")
    lease = queue.lease(lease_seconds=0.05)
    assert lease.item == "a"
    assert queue.peek(9) == ["b", "c"]
    again = queue.lease_many(3)  # b, c
    assert len(again) == 2
    select.select([], [], [], 0.1)
    while not (shown := queue.peek(9)):
        select.select([], [], [], 0.01)
    assert shown == ["a"]


def test_while_others_put_and_take() -> None:
    queue: Any = conveyor.Queue(maxsize=200)
    done = threading.Event()
    got: list[int] = []

    def put() -> None:
        with queue.producing():
            for n in range(3_000):
                queue.put((n, b"x" * (n % 7 * 20_000)))

    def take() -> None:
        for item in queue:
            got.append(item[0])
        done.set()

    threads = [threading.Thread(target=put), threading.Thread(target=take)]
    for thread in threads:
        thread.start()
    looks = 0
    while not done.is_set():
        shown = queue.peek(20)
        numbers = [n for n, _ in shown]
        assert numbers == sorted(set(numbers))
        assert all(data == b"x" * (n % 7 * 20_000) for n, data in shown)
        looks += 1
    for thread in threads:
        thread.join(30)
    assert got == list(range(3_000))
    assert looks


def test_a_looker_that_is_killed_harms_nobody() -> None:
    queue: Any = conveyor.Queue()
    items = [b"x" * 100_000] * 20
    queue.put_many(items)
    for _ in range(10):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            while True:
                queue.peek(20)
                os.write(writing, b".")
        assert select.select([reading], [], [], 30)[0]
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(reading)
        os.close(writing)
    assert queue._check() == ""
    assert queue.peek(99) == items
    assert queue.get_many() == items
    assert queue._check() == ""


def test_what_is_purged_is_done() -> None:
    queue: Any = conveyor.JoinableQueue(maxsize=3)
    queue.put_many([b"x" * 100_000, 2, 3])
    assert queue.get() == b"x" * 100_000
    assert queue.purge() == 2
    queue.task_done()
    queue.join()
    with pytest.raises(ValueError, match="task_done"):
        queue.task_done()
    assert queue._check() == ""


def test_a_closed_queue() -> None:
    queue: Any = conveyor.Queue()
    queue.put(1)
    with pytest.raises(ValueError, match="max_items is 0"):
        queue.peek(0)
    with pytest.raises(TypeError):
        queue.peek("1")
    assert queue.get() == 1
    closed: Any = conveyor.Queue()
    closed.close()
    with pytest.raises(ValueError, match="closed"):
        closed.peek()
