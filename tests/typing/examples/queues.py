"""What a type checker must know about the queues: assert_type for what it infers, `# wrong` for
what it must refuse. Checked by mypy and pyright (test_typing.py); never run.
"""

from collections.abc import Iterator
from typing import assert_type

from conveyor import JoinableQueue, ProducerLost, Queue, ShutDown, SimpleQueue, Statistics, connect


def items_have_a_type() -> None:
    q = Queue[int]()
    q.put(1)
    q.put(1, False)
    q.put(1, block=True, timeout=0.5)
    q.put_nowait(2)
    assert_type(q.get(), int)
    assert_type(q.get(timeout=1), int)
    assert_type(q.get(True, 1.5), int)
    assert_type(q.get_nowait(), int)
    q.put("text")  # wrong
    q.put_nowait(None)  # wrong
    text: str = q.get()  # wrong
    print(text)


def many() -> None:
    q: Queue[tuple[str, int]] = Queue(maxsize=1000, max_bytes=2**20)
    q.put_many([("a", 1), ("b", 2)])
    q.put_many((name, 1) for name in "abc")
    q.put_many([("a", 1)], timeout=1)
    assert_type(q.get_many(), list[tuple[str, int]])
    assert_type(q.peek(3), list[tuple[str, int]])
    assert_type(q.get_many(max_items=10, timeout=1), list[tuple[str, int]])
    q.put_many([1, 2])  # wrong
    q.get_many("ten")  # wrong


def state() -> None:
    q = Queue[bytes]()
    assert_type(q.qsize(), int)
    assert_type(q.empty(), bool)
    assert_type(q.full(), bool)
    assert_type(q.statistics(), Statistics)
    assert_type(q.statistics().depth, int)
    assert_type(q.statistics().put_blocked_seconds, float)
    q.statistics().depth = 1  # wrong
    q.close()
    q.join_thread()
    q.cancel_join_thread()


def joinable() -> None:
    q = JoinableQueue[str](10)
    q.put("x")
    assert_type(q.get(), str)
    q.task_done()
    q.join()
    q.put(1)  # wrong


def simple() -> None:
    q = SimpleQueue[list[float]]()
    q.put([1.0])
    assert_type(q.get(), list[float])
    assert_type(q.empty(), bool)
    q.put("x")  # wrong
    q.get(timeout=1)  # wrong


def named() -> None:
    jobs: Queue[str] = connect("shm://jobs", create=None, maxsize=10)
    assert_type(jobs.get(), str)


def passed_on(source: Queue[int], sink: Queue[str]) -> None:
    sink.put(str(source.get()))
    passed_on(sink, source)  # wrong


def drained(q: Queue[int]) -> Iterator[int]:
    while not q.empty():
        yield from q.get_many(100)


def endings(q: Queue[int], simple: SimpleQueue[str], tasks: JoinableQueue[bytes]) -> int:
    for item in q:
        assert_type(item, int)
    assert_type([text.upper() for text in simple], list[str])
    q.expect_producers(4)
    q.expect_producers("four")  # wrong
    with q.producing() as out:
        out.put(1)
        out.put("text")  # wrong
    with simple.producing() as words, tasks.producing():
        words.put("x")
    assert_type(q.is_shutdown, bool)
    q.is_shutdown = True  # wrong
    assert_type(tasks.unfinished_tasks, int)
    try:
        return q.get()
    except ProducerLost as lost:
        assert_type(lost.signal, int | None)
        return lost.items
    except ShutDown:
        q.shutdown()
        q.shutdown(immediate=True)
        return 0
