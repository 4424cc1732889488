"""`close()` concerns one process: the others go on, and tell it what it asks."""

from __future__ import annotations

import multiprocessing
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from helpers import METHODS, crew, descriptors, finish, until

import conveyor


def take_slowly(queue: Any, go: Any, told: Any) -> None:
    for _ in range(4):
        go.get()
        told.put(queue.get())


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("bound", [0, 3])
def test_the_size_of_a_closed_queue_follows_those_who_empty_it(method: str, bound: int) -> None:
    context = multiprocessing.get_context(method)
    queue: conveyor.Queue[int] = conveyor.Queue(bound)
    go: conveyor.Queue[None] = conveyor.Queue()
    told: conveyor.Queue[int] = conveyor.Queue()
    with crew() as members:
        members.append(context.Process(target=take_slowly, args=(queue, go, told)))
        members[0].start()
        for number in range(3):
            queue.put(number)
        # It has taken nothing so far, and is in no list of users.
        until(lambda: members[0].is_alive(), "it lives")
        go.put(None)
        assert told.get(timeout=60) == 0
        queue.put(3)
        queue.close()
        assert queue.qsize() == 3
        assert queue.full() is (bound == 3)
        for number in range(1, 4):
            go.put(None)
            assert told.get(timeout=60) == number
            assert queue.qsize() == 3 - number
            assert not queue.full()
        finish(members[0])
    assert queue.qsize() == 0  # nobody has it any more
    assert queue.statistics().items_in == 4


def close_and_tell(queue: Any, told: Any) -> None:
    before = descriptors(), Path("/proc/self/maps").read_text().count("memfd:conveyor")
    queue.put("from the child")
    queue.close()
    after = descriptors(), Path("/proc/self/maps").read_text().count("memfd:conveyor")
    told.put((before[0] - after[0], before[1] - after[1]))


@pytest.mark.parametrize("method", METHODS)
def test_a_childs_close_is_its_own(method: str) -> None:
    context = multiprocessing.get_context(method)
    queue: conveyor.Queue[Any] = conveyor.Queue()
    told: conveyor.Queue[Any] = conveyor.Queue()
    with crew() as members:
        members.append(context.Process(target=close_and_tell, args=(queue, told)))
        members[0].start()
        given_back = told.get(timeout=60)
        finish(members[0])
    assert given_back == (2, 1)
    assert queue.get(timeout=30) == "from the child"
    queue.put(1)
    assert queue.get() == 1


def put_when_told(queue: Any, go: Any) -> None:
    go.get()
    queue.put("after the parent's close")


@pytest.mark.parametrize("method", METHODS)
def test_a_parents_close_leaves_the_children_alone(method: str) -> None:
    context = multiprocessing.get_context(method)
    queue: conveyor.Queue[Any] = conveyor.Queue()
    go: conveyor.Queue[None] = conveyor.Queue()
    carrier: conveyor.Queue[Any] = conveyor.Queue()
    with crew() as members:
        members.append(context.Process(target=put_when_told, args=(queue, go)))
        members[0].start()
        carrier.put(queue)  # which keeps it, until it is received
        queue.close()
        go.put(None)
        finish(members[0])
    received = carrier.get()
    assert received.get(timeout=30) == "after the parent's close"
    conveyor.Queue()


def test_a_process_that_is_forked_afterwards_has_a_closed_queue() -> None:
    queue: conveyor.Queue[Any] = conveyor.Queue()
    queue.put(1)
    queue.get()
    queue.close()
    child = os.fork()
    if child == 0:
        try:
            queue.get()
        except ValueError:
            os._exit(queue.qsize())
        os._exit(9)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def descriptors_of_a_child() -> int:
    """As `descriptors`, in a child: late versions close the standard library's own there (its resource tracker's)."""
    child = os.fork()
    if child == 0:
        os._exit(descriptors())
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_it_is_open_in_a_process_that_is_forked_while_something_waits_in_it() -> None:
    before, in_a_child = descriptors(), descriptors_of_a_child()
    queue: conveyor.Queue[Any] = conveyor.Queue()
    queue.put(7)
    queue.close()
    child = os.fork()
    if child == 0:
        got = queue.get()
        queue.put(got)  # it stays open
        queue.get()
        queue.close()
        os._exit(got if descriptors() == in_a_child else 99)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert queue.qsize() == 0
    queue.join_thread()
    assert descriptors() == before


def test_a_child_of_a_process_with_a_thread_inside_a_call_can_let_go() -> None:
    queue: conveyor.Queue[Any] = conveyor.Queue()
    threads = [threading.Thread(target=queue.get) for _ in range(2)]
    for thread in threads:
        thread.start()
    until(lambda: queue.statistics().get_waits >= 2, "they wait")
    before = descriptors()
    child = os.fork()
    if child == 0:
        queue.close()
        os._exit(before - descriptors())
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) in (
        1,
        2,
    )  # with the ready descriptor, made by the fork
    queue.put_many([1, 2])
    for thread in threads:
        thread.join(30)


def test_a_named_queue_that_was_closed_can_be_opened_again() -> None:
    name = f"closing-{os.getpid()}"
    queue = conveyor.connect(f"shm://{name}")
    try:
        queue.put("kept")
        queue.close()
        assert queue.qsize() == 1
        again = conveyor.connect(f"shm://{name}")
        assert again.get() == "kept"
        assert queue.qsize() == 0
    finally:
        conveyor.remove(f"shm://{name}")
