"""`close()` of a queue gives its memory and descriptors back, unless somebody in this process still needs them."""

from __future__ import annotations

import asyncio
import pickle
from typing import Any

import pytest
from callers import until
from closing import belongings, drain

import conveyor

both = pytest.mark.parametrize("kind", [conveyor.Queue, conveyor.SimpleQueue])


def unused(_: Any) -> None:
    pass


def used(queue: Any) -> None:
    queue.put("item")
    assert queue.get() == "item"


def filled(queue: Any) -> None:
    queue.put("item")
    queue.put(b"x" * 300_000)
    while not queue.empty():
        queue.get()


def watched(queue: Any) -> None:
    queue.put("item")
    assert queue._reader.poll(0)
    queue._reader.fileno()
    queue._writer.send("another")
    assert [queue._reader.recv(), queue.get()] == ["item", "another"]


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


def test_a_simple_queue_with_items_lets_go_as_multiprocessings_does() -> None:
    conveyor.SimpleQueue().put(1)
    before = belongings()
    queue: conveyor.SimpleQueue[Any] = conveyor.SimpleQueue()
    queue.put("item")
    queue.close()
    assert belongings() == before


@pytest.mark.parametrize("kind", [conveyor.Queue, conveyor.JoinableQueue])
def test_what_waits_in_a_queue_that_nobody_else_has_is_not_lost(kind: Any) -> None:
    queue = kind()
    before = belongings()
    queue.put("item")
    queue.close()
    assert queue.qsize() == 1
    received = pickle.loads(pickle.dumps(queue))
    assert received.get() == "item"
    conveyor.Queue()
    if kind is conveyor.JoinableQueue:
        received.task_done()
        assert queue.join(10)
    else:
        queue.join_thread()
    received.close()
    assert belongings() < before


def test_calls_afterwards_raise_as_ever() -> None:
    queue: conveyor.Queue[Any] = conveyor.Queue(3)
    for item in range(3):
        queue.put(item)
    assert queue.get_many(3) == [0, 1, 2]
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
    assert (queue.qsize(), queue.full(), queue._maxsize, queue.is_shutdown) == (0, False, 3, False)
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


def test_coroutines_hear_of_it() -> None:
    asyncio.run(close_while_coroutines_wait())


async def close_while_coroutines_wait() -> None:
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
    if queue.qsize():
        drain(queue)
    until(lambda: belongings()[1] < before[1])


def test_a_joinable_queue_can_still_be_joined() -> None:
    conveyor.JoinableQueue().put(1)
    before = belongings()
    queue: conveyor.JoinableQueue[Any] = conveyor.JoinableQueue()
    queue.put_many(range(3))
    for _ in range(3):
        queue.get()
    assert queue.unfinished_tasks == 3
    queue.close()
    queue.task_done()
    assert queue.unfinished_tasks == 2
    assert queue.join(timeout=0) is False
    queue.task_done()
    assert queue.unfinished_tasks == 1
    assert belongings() > before
    queue.task_done()
    assert belongings() == before
    assert queue.join(timeout=10) is True
    assert queue.unfinished_tasks == 0
    with pytest.raises(ValueError, match="too many"):
        queue.task_done()


def test_a_joinable_queue_with_nothing_to_do_lets_go_at_once() -> None:
    conveyor.JoinableQueue().put(1)
    before = belongings()
    queue: conveyor.JoinableQueue[Any] = conveyor.JoinableQueue()
    queue.put(1)
    queue.get()
    queue.task_done()
    queue.close()
    assert belongings() == before
    assert queue.join(timeout=0) is True


def test_a_subclass_that_says_it_is_closed_and_open_again() -> None:
    queue: Any = conveyor.Queue()
    queue._closed = True
    with pytest.raises(ValueError, match="is closed"):
        queue.put(1)
    queue._closed = False
    queue.put(1)
    assert queue.get() == 1
