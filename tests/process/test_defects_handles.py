"""Defects 25 and 26: a queue may be sent anywhere, at any time, and works with every start method."""

from __future__ import annotations

import gc
import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import pytest
from helpers import METHODS, crew, finish, python, until

import conveyor
from conveyor.errors import SegmentGone

KINDS: list[Any] = [conveyor.Queue, conveyor.JoinableQueue, conveyor.SimpleQueue]


@pytest.fixture(autouse=True)
def let_go_of_what_was_sent() -> Iterator[None]:
    yield
    gc.collect()
    conveyor.Queue()  # the next queue lets go of those that were sent and have been received


def put_pid(queue: Any) -> int:
    queue.put(os.getpid())
    return os.getpid()


def hand_on(queue: Any, carrier: Any) -> None:
    carrier.put(queue)


def put_into_each_received(carrier: Any, count: int) -> None:
    for number in range(count):
        carrier.get().put(number)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", METHODS)
def test_defect_25_as_an_argument_of_a_pools_task(method: str, kind: Any) -> None:
    queue = kind()
    with multiprocessing.get_context(method).Pool(2) as pool:
        pids = pool.map(put_pid, [queue] * 10, chunksize=1)
        assert sorted(queue.get() for _ in range(10)) == sorted(pids)
        # Its own reference is gone before the task runs.
        results = [pool.apply_async(put_and_get, (kind(), number)) for number in range(10)]
        gc.collect()
        assert [result.get(30) for result in results] == list(range(10))
        pool.close()
        pool.join()


def put_and_get(queue: Any, item: Any) -> Any:
    queue.put(item)
    return queue.get()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", METHODS)
def test_defect_25_as_an_argument_of_an_executors_task(method: str, kind: Any) -> None:
    queue = kind()
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(method)) as executor:
        pids = list(executor.map(put_pid, [queue] * 10))
        assert sorted(queue.get() for _ in range(10)) == sorted(pids)
        results = [executor.submit(put_and_get, kind(), number) for number in range(10)]
        gc.collect()
        assert [result.result(30) for result in results] == list(range(10))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", METHODS)
def test_defect_25_through_another_queue(method: str, kind: Any) -> None:
    carrier: conveyor.Queue[Any] = conveyor.Queue()
    queues = [kind() for _ in range(20)]
    with crew() as members:
        target, arguments = put_into_each_received, (carrier, len(queues))
        members.append(multiprocessing.get_context(method).Process(target=target, args=arguments))
        members[0].start()
        for queue in queues:
            carrier.put(queue)
        assert [queue.get() for queue in queues] == list(range(20))
        finish(members[0])


def test_defect_25_through_the_standard_librarys_pipe_and_queue() -> None:
    context = multiprocessing.get_context("fork")
    queue: conveyor.Queue[int] = conveyor.Queue()
    carrier = context.Queue()
    carrier.put(queue)
    carrier.get().put(1)
    one, other = context.Pipe()
    with one, other:
        one.send(queue)
        other.recv().put(2)
    assert queue.get_many() == [1, 2]
    carrier.close()
    carrier.join_thread()


def test_defect_25_a_received_handle_is_the_same_queue() -> None:
    queue: conveyor.JoinableQueue[str] = conveyor.JoinableQueue(3)
    for _ in range(3):
        queue = pickle.loads(pickle.dumps(queue))
    queue.put("a")
    other = pickle.loads(pickle.dumps(queue))
    assert type(other) is conveyor.JoinableQueue
    assert other._maxsize == 3
    assert other.get() == "a"
    other.task_done()
    assert queue.join(timeout=0) is True
    # Closing one handle does not close the other.
    other.close()
    queue.put("b")
    assert queue.get() == "b"


def test_defect_25_the_sender_may_drop_it_at_once() -> None:
    carrier: conveyor.Queue[Any] = conveyor.Queue()
    for number in range(20):
        queue: conveyor.Queue[int] = conveyor.Queue()
        queue.put(number)
        carrier.put(queue)
        del queue
    gc.collect()
    with crew() as members:
        results: conveyor.Queue[int] = conveyor.Queue()
        members.append(
            multiprocessing.get_context("spawn").Process(
                target=read_each_received, args=(carrier, results, 20)
            )
        )
        members[0].start()
        assert [results.get(timeout=30) for _ in range(20)] == list(range(20))
        finish(members[0])


def read_each_received(carrier: Any, results: Any, count: int) -> None:
    for _ in range(count):
        results.put(carrier.get().get(timeout=10))


def send_and_die(carrier: Any) -> None:
    carrier.put(conveyor.Queue())
    os.kill(os.getpid(), signal.SIGKILL)


def test_defect_25_a_dead_senders_queue_is_a_clear_error() -> None:
    carrier: conveyor.Queue[Any] = conveyor.Queue()
    process = multiprocessing.get_context("fork").Process(target=send_and_die, args=(carrier,))
    process.start()
    process.join()
    with pytest.raises(SegmentGone, match=f"process {process.pid}"):
        carrier.get()
    carrier.put("goes on")
    assert carrier.get() == "goes on"


def test_defect_25_a_pickle_kept_for_later_is_a_clear_error() -> None:
    result = python("import conveyor, pickle; print(pickle.dumps(conveyor.Queue()).hex())")
    with pytest.raises(SegmentGone):
        pickle.loads(bytes.fromhex(result.stdout.strip()))


def test_defect_25_a_named_queue_needs_no_sender() -> None:
    url = f"shm://defect-25-{os.getpid()}"
    code = "import conveyor, pickle, sys; print(pickle.dumps(conveyor.connect(sys.argv[1])).hex())"
    try:
        queue = pickle.loads(bytes.fromhex(python(code, url).stdout.strip()))
        conveyor.connect(url, create=False).put("item")
        assert queue.get() == "item"
    finally:
        conveyor.remove(url)


def test_defect_25_standard_library_refuses() -> None:
    with pytest.raises(RuntimeError, match="inheritance"):
        pickle.dumps(multiprocessing.get_context("fork").Queue())


def use(queue: Any, ready: Any, number: int) -> None:
    queue.put(number)
    ready.put(number)


@pytest.mark.parametrize("kind", KINDS)
def test_defect_26_one_queue_for_all_start_methods(kind: Any) -> None:
    queue, ready = kind(), conveyor.Queue()
    with crew() as members:
        for number, method in enumerate(METHODS):
            process = multiprocessing.get_context(method).Process(target=use, args=(queue, ready, number))
            members.append(process)
            process.start()
        assert sorted(ready.get(timeout=30) for _ in METHODS) == [0, 1, 2]
        assert sorted(queue.get() for _ in METHODS) == [0, 1, 2]
        for process in members:
            finish(process)


@pytest.mark.parametrize("made_for", METHODS)
@pytest.mark.parametrize("used_by", METHODS)
def test_defect_26_a_context_is_no_bond(made_for: str, used_by: str) -> None:
    queue: conveyor.Queue[int] = conveyor.Queue(ctx=multiprocessing.get_context(made_for))
    ready: conveyor.Queue[int] = conveyor.Queue()
    with crew() as members:
        process = multiprocessing.get_context(used_by).Process(target=use, args=(queue, ready, 5))
        members.append(process)
        process.start()
        assert queue.get(timeout=30) == 5
        finish(process)


def wait_and_use(queue: Any, begin: Any, results: Any) -> None:
    begin.get()
    queue.put("alive")
    results.put(queue.get())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", METHODS)
def test_defect_26_the_parent_may_drop_its_reference_at_once(method: str, kind: Any) -> None:
    begin: conveyor.Queue[None] = conveyor.Queue()
    results: conveyor.Queue[str] = conveyor.Queue()
    with crew() as members:
        process = multiprocessing.get_context(method).Process(
            target=wait_and_use, args=(kind(), begin, results)
        )
        members.append(process)
        process.start()
        gc.collect()
        begin.put(None)
        assert results.get(timeout=30) == "alive"
        finish(process)


def start_grandchild(method: str, queue: Any) -> None:
    process = multiprocessing.get_context(method).Process(target=put_pid, args=(queue,))
    process.start()
    finish(process)


# A forked child of a process that has a forkserver cannot use that one (multiprocessing's own limit).
@pytest.mark.parametrize(
    ("child", "grandchild"),
    [(a, b) for a in METHODS for b in METHODS if (a, b) != ("fork", "forkserver")],
)
def test_defect_26_children_pass_it_to_their_children(child: str, grandchild: str) -> None:
    queue: conveyor.Queue[int] = conveyor.Queue()
    with crew() as members:
        process = multiprocessing.get_context(child).Process(
            target=start_grandchild, args=(grandchild, queue)
        )
        members.append(process)
        process.start()
        assert queue.get(timeout=30) not in (process.pid, os.getpid())
        finish(process)


def test_defect_26_the_same_queue_many_times_in_one_processs_arguments() -> None:
    for method in METHODS:
        queue: conveyor.Queue[int] = conveyor.Queue()
        with crew() as members:
            target, arguments = put_into_each, ([queue, queue, [queue, {"again": queue}]],)
            members.append(multiprocessing.get_context(method).Process(target=target, args=arguments))
            members[0].start()
            finish(members[0])
        assert queue.get_many() == ["one", "two", "three", "four"]


def put_into_each(queues: list[Any]) -> None:
    one, two, (three, more) = queues
    for queue, text in ((one, "one"), (two, "two"), (three, "three"), (more["again"], "four")):
        queue.put(text)


def test_defect_26_standard_library_binds_a_queue_to_a_start_method() -> None:
    process = multiprocessing.get_context("spawn").Process(
        target=put_pid, args=(multiprocessing.get_context("fork").Queue(),)
    )
    with pytest.raises(RuntimeError, match="fork context"):
        process.start()


@pytest.mark.parametrize("method", METHODS)
def test_defect_26_a_pipes_end_through_a_queue_and_as_an_argument(method: str) -> None:
    mine, theirs = conveyor.Pipe()
    with crew() as members, mine:
        with theirs:
            members.append(multiprocessing.get_context(method).Process(target=answer, args=(theirs,)))
            members[0].start()
        assert mine.poll(30)
        assert mine.recv() == "hello"
        mine.send("bye")
        finish(members[0])
        until(mine.poll, "its end is closed")
        with pytest.raises(EOFError):
            mine.recv()


def answer(end: Any) -> None:
    end.send("hello")
    assert end.recv() == "bye"


def test_defect_25_many_threads_pickle_and_receive_one_handle() -> None:
    queue: conveyor.Queue[int] = conveyor.Queue()

    def work() -> None:
        for number in range(200):
            pickle.loads(pickle.dumps(queue)).put(number)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(queue.get_many(1000)) == sorted(list(range(200)) * 4)
