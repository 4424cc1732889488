"""`close()` of a queue gives its memory and descriptors back, unless somebody in this process still needs them."""

from __future__ import annotations

import asyncio
import copy
import os
import pickle
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest

import conveyor

both = pytest.mark.parametrize("kind", [conveyor.Queue, conveyor.SimpleQueue])


def belongings() -> tuple[int, int]:
    """How many descriptors and mappings of shared memory this process has."""
    descriptors = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    return descriptors, Path("/proc/self/maps").read_text().count("memfd:conveyor")


def until(condition: Callable[[], Any], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def unused(_: Any) -> None:
    pass


def used(queue: Any) -> None:
    queue.put("item")
    assert queue.get() == "item"


def filled(queue: Any) -> None:
    queue.put("item")
    queue.put(b"x" * 300_000)


def watched(queue: Any) -> None:
    queue.put("item")
    assert queue._reader.poll(0)
    queue._reader.fileno()
    queue._writer.send("another")


def large(queue: Any) -> None:
    for _ in range(30):
        queue.put(b"x" * 800_000)
        queue.get()


@both
@pytest.mark.parametrize("what", [unused, used, filled, watched, large])
def test_all_of_it_is_given_back_at_once(kind: Any, what: Any) -> None:
    kind().put(1)
    before = belongings()
    queues = [kind() for _ in range(20)]
    for queue in queues:
        what(queue)
    assert belongings()[1] >= before[1] + 20
    for queue in queues:
        queue.close()
    assert belongings() == before
    for queue in queues:
        queue.close()
    assert belongings() == before


def test_calls_afterwards_raise_as_ever() -> None:
    queue: conveyor.Queue[Any] = conveyor.Queue(3)
    for item in range(3):
        queue.put(item)
    figures = queue.statistics()
    queue.close()
    for call in (
        lambda: queue.put(1),
        lambda: queue.put_nowait(1),
        lambda: queue.put_many([1]),
        queue.get,
        queue.get_nowait,
        queue.get_many,
        queue.lease,
        queue.lease_many,
        lambda: queue.allocate(10),
        lambda: queue.allocate_bytes(10),
        queue.shutdown,
        lambda: queue.expect_producers(1),
        lambda: queue.producing().__enter__(),
        lambda: next(iter(queue)),
    ):
        with pytest.raises(ValueError, match="closed"):
            call()
    with pytest.raises(OSError, match="is closed"):
        queue.empty()
    for end in (queue._reader, queue._writer):
        assert end.closed
        with pytest.raises(OSError, match="is closed"):
            end.fileno()
        end.close()
    assert (queue.qsize(), queue.full(), queue._maxsize, queue.is_shutdown) == (3, True, 3, False)
    assert queue.statistics().items_in == figures.items_in == 3
    assert "Queue" in repr(queue)
    queue.join_thread()
    queue.cancel_join_thread()
    with pytest.raises(OSError, match="is closed"):
        pickle.dumps(queue)


def test_calls_of_a_simple_queue_afterwards() -> None:
    queue: conveyor.SimpleQueue[Any] = conveyor.SimpleQueue()
    queue.put(1)
    queue.close()
    for call in (
        lambda: queue.put(1),
        queue.get,
        queue.empty,
        queue.shutdown,
        queue._poll,
        queue.producing,
        lambda: queue.expect_producers(1),
        queue._reader.fileno,
        lambda: pickle.dumps(queue),
    ):
        with pytest.raises(OSError, match="closed"):
            call()
    assert queue.statistics().items_in == 1
    assert not queue.is_shutdown


async def test_coroutines_hear_of_it() -> None:
    queue: conveyor.Queue[Any] = conveyor.Queue(1)
    before = belongings()
    takers = [asyncio.create_task(queue.aget()) for _ in range(3)]
    queue.put("for one of them")
    done, waiting = await asyncio.wait(takers, return_when=asyncio.FIRST_COMPLETED, timeout=30)
    assert [each.result() for each in done] == ["for one of them"]
    queue.put("full")
    putter = asyncio.create_task(queue.aput("no room"))
    await asyncio.sleep(0)
    # Whoever was given "full" has it; the others wait.
    left = [each for each in (*waiting, putter) if not each.done()]
    queue.close()
    finished, late = await asyncio.wait(left, timeout=30)
    assert not late
    for each in finished:
        if each.exception() is not None:
            with pytest.raises(ValueError, match="is closed"):
                each.result()
    del queue
    until(lambda: belongings()[1] < before[1] + 1)


class TestStillNeeded:
    def test_by_a_lease(self) -> None:
        queue: conveyor.Queue[Any] = conveyor.Queue()
        queue.put_many(range(4))
        before = belongings()
        one, two, three, four = (queue.lease() for _ in range(4))
        queue.close()
        assert belongings() == before
        one.acknowledge()
        two.release()
        three.reject()
        assert belongings() == before
        with four as item:
            assert item == 3
        assert belongings() < before
        with pytest.raises(conveyor.LeaseLost):
            one.release()
        assert queue.qsize() == 1

    def test_by_a_lease_that_is_dropped(self) -> None:
        queue: conveyor.Queue[Any] = conveyor.Queue()
        queue.put(1)
        before = belongings()
        lease = queue.lease()
        queue.close()
        assert belongings() == before
        del lease
        assert belongings() < before
        assert queue.qsize() == 1

    def test_by_an_array_that_was_received(self) -> None:
        queue: conveyor.Queue[Any] = conveyor.Queue()
        queue.put(numpy.arange(100_000))
        array = queue.get()
        before = belongings()
        queue.close()
        numpy.testing.assert_array_equal(array, numpy.arange(100_000))
        array[:] = 7
        assert belongings() == before
        del array
        assert belongings() < before

    def test_by_an_array_to_be_filled(self) -> None:
        queue: conveyor.Queue[Any] = conveyor.Queue()
        array = queue.allocate(100_000)
        queue.close()
        array[:] = 7
        assert (array == 7).all()

    def test_by_a_block_of_a_producer(self) -> None:
        queue: conveyor.Queue[Any] = conveyor.Queue()
        other = copy.copy(queue)
        conveyor.Queue()  # lets go of what the copy was pickled with
        with queue.producing():
            queue.put(1)
            queue.close()
            assert not other.is_shutdown
        assert other.is_shutdown
        assert other.get() == 1
        with pytest.raises(conveyor.ShutDown):
            other.get()

    def test_by_another_handle(self) -> None:
        queue: conveyor.Queue[Any] = conveyor.Queue()
        other = copy.copy(queue)
        reader = queue._reader
        queue.put("one")
        queue.close()
        other.put("two")
        assert (queue.qsize(), other.qsize()) == (2, 2)
        assert reader.recv() == "one"
        assert other.get() == "two"
        assert queue.qsize() == 0
        assert pickle.loads(pickle.dumps(queue)).qsize() == 0
        conveyor.Queue()

    @both
    def test_by_a_thread_inside_a_call(self, kind: Any) -> None:
        queue = kind()
        other = copy.copy(queue)
        conveyor.Queue()
        received: list[Any] = []
        threads = [threading.Thread(target=lambda: received.append(queue.get())) for _ in range(3)]
        for thread in threads:
            thread.start()
        until(lambda: other.statistics().get_waits >= 3)
        queue.close()
        other.put("first")
        until(lambda: len(received) == 1)
        before = belongings()
        del other
        assert belongings() == before  # two are still inside
        del received, threads, thread

    def test_until_the_last_thread_has_left(self) -> None:
        queue: conveyor.Queue[Any] = conveyor.Queue()
        before = belongings()
        empty = []

        def wait() -> None:
            try:
                queue.get(timeout=0.3)
            except conveyor.Empty:
                empty.append(1)

        threads = [threading.Thread(target=wait) for _ in range(3)]
        for thread in threads:
            thread.start()
        until(lambda: queue.statistics().get_waits >= 3)
        queue.close()
        assert belongings() == before
        for thread in threads:
            thread.join()
        assert len(empty) == 3
        assert belongings() < before

    def test_by_its_own_codec_in_the_middle_of_a_put(self) -> None:
        class Closing:
            name = "closing"

            def dumps(self, obj: Any) -> bytes:
                queue.close()
                return bytes(obj)

            def loads(self, header: Any, buffers: Any) -> Any:
                return bytes(header)

        queue: conveyor.Queue[Any] = conveyor.Queue(codec=Closing())
        queue.put(b"one")
        with pytest.raises(ValueError, match="is closed"):
            queue.put(b"two")
        assert queue.qsize() == 1


def test_threads_that_use_it_while_it_is_closed() -> None:
    before = belongings()
    for _ in range(30):
        queue: conveyor.Queue[Any] = conveyor.Queue()
        errors: list[BaseException] = []

        def work(queue: Any = queue, errors: Any = errors) -> None:
            try:
                while True:
                    queue.put([1, "two"])
                    queue.get()
                    queue.qsize()
                    with queue.lease(0) if queue.qsize() else threading.Lock():
                        pass
            except ValueError:
                pass
            except (conveyor.Empty, OSError):
                pass
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        until(lambda queue=queue: queue.statistics().items_in > 20)
        queue.close()
        for thread in threads:
            thread.join(30)
            assert not thread.is_alive()
        assert not errors
        assert belongings() == before


def test_a_joinable_queue_can_still_be_joined() -> None:
    queue: conveyor.JoinableQueue[Any] = conveyor.JoinableQueue()
    queue.put_many(range(3))
    for _ in range(2):
        queue.get()
    queue.close()
    queue.task_done()
    assert queue.unfinished_tasks == 2
    assert queue.join(timeout=0) is False
    queue.task_done()
    queue.task_done()
    assert queue.join(timeout=10) is True


def test_a_subclass_that_says_it_is_closed_and_open_again() -> None:
    queue: Any = conveyor.Queue()
    queue._closed = True
    with pytest.raises(ValueError, match="is closed"):
        queue.put(1)
    queue._closed = False
    queue.put(1)
    assert queue.get() == 1
