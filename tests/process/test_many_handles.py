"""Any number of handles to a child that is being started, by every start method."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import multiprocessing.connection
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from helpers import METHODS, crew, descriptors, finish

import conveyor
from conveyor._memory.references import forget_received

MANY = 1000
NAMES = [
    "Lock",
    "RLock",
    "Event",
    "Semaphore",
    "Condition",
    "Value",
    "Queue",
    "SimpleQueue",
    "Pipe",
    "Dict",
    "Topic",
]


@pytest.fixture(autouse=True)
def parcels() -> Iterator[None]:
    """What was sent to a child is kept until the next thing is made, sent or closed."""
    yield
    forget_received()


def make(name: str) -> Any:
    if name == "Pipe":
        return conveyor.Pipe()[0]
    if name == "Value":
        return conveyor.SharedValue("i", 0)
    if name == "Dict":
        return conveyor.SharedDict()
    made: Callable[[], Any] = getattr(conveyor, name)
    return made()


def mark(handle: Any, number: int) -> None:
    """Do something to it that `marked` sees."""
    match handle:
        case conveyor.Event():
            handle.set()
        case conveyor.SharedValue():
            handle.value = number
        case conveyor.Queue() | conveyor.SimpleQueue():
            handle.put(number)
        case conveyor.SharedDict():
            handle["number"] = number
        case conveyor.Topic():
            handle.publish(number)
        case multiprocessing.connection.Connection():
            assert handle.poll(0)  # its other end is closed
        case _:
            handle.acquire()


def marked(handle: Any, number: int) -> bool:
    match handle:
        case conveyor.Event():
            return handle.is_set()
        case conveyor.SharedValue():
            return bool(handle.value == number)
        case conveyor.Queue() | conveyor.SimpleQueue():
            return bool(handle.get() == number)
        case conveyor.SharedDict():
            return bool(handle["number"] == number)
        case conveyor.Topic():
            return handle.statistics().published == 1
        case _:
            return not handle.acquire(block=False)


def mark_all(handles: Any, done: Any, go: Any) -> None:
    for number, handle in enumerate(handles):
        mark(handle, number)
    done.put(len(handles))
    go.get()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", [name for name in NAMES if name != "Pipe"])
def test_a_thousand_of_a_kind(name: str, method: str) -> None:
    context = multiprocessing.get_context(method)
    handles = [make(name) for _ in range(MANY)]
    done: conveyor.Queue[int] = conveyor.Queue()
    go: conveyor.Queue[None] = conveyor.Queue()
    with crew() as members:
        members.append(context.Process(target=mark_all, args=(handles, done, go)))
        members[0].start()
        assert done.get(timeout=30) == MANY
        assert all(marked(handle, number) for number, handle in enumerate(handles))
        go.put(None)
        finish(members[0])


def answer_all(ends: Any) -> None:
    for number, end in enumerate(ends):
        end.send((number, end.recv()))
        end.close()


@pytest.mark.parametrize("method", METHODS)
def test_a_thousand_pipes(method: str) -> None:
    context = multiprocessing.get_context(method)
    pipes = [conveyor.Pipe() for _ in range(MANY)]
    with crew() as members:
        members.append(context.Process(target=answer_all, args=([other for _, other in pipes],)))
        members[0].start()
        for _, other in pipes:
            other.close()
        for number, (one, _) in enumerate(pipes):
            one.send("question")
            assert one.recv() == (number, "question")
            with pytest.raises(EOFError):
                one.recv()
            one.close()
        finish(members[0])


class Holder:
    """What has handles anywhere in it."""

    def __init__(self, handles: Any) -> None:
        self.handles = handles
        self.again = {"list": list(handles), "tuple": (handles[0], handles[-1])}


class Forgetful:
    """Lets go of what it came with."""

    def __init__(self, handle: Any) -> None:
        self.handle = handle

    def __reduce__(self) -> tuple[Any, ...]:
        return forget, (self.handle,)


def forget(_: Any) -> str:
    return "forgotten"


def check(holder: Any, forgotten: Any, handles: Any, done: Any) -> None:
    same = all(one is other for one, other in zip(holder.handles, holder.again["list"], strict=True))
    same = same and holder.again["tuple"][0] is holder.handles[0]
    for number, (handle, again) in enumerate(zip(handles, holder.handles, strict=True)):
        mark(handle, number)
        same = same and (again is handle)
    done.put((same, forgotten))


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_mixed_in_containers_twice_and_let_go_of(method: str) -> None:
    context = multiprocessing.get_context(method)
    handles = [make(NAMES[number % len(NAMES)]) for number in range(600)]
    done: conveyor.Queue[Any] = conveyor.Queue()
    with crew() as members:
        args = (Holder(handles), [Forgetful(handle) for handle in handles[::7]], handles, done)
        members.append(context.Process(target=check, args=args))
        members[0].start()
        assert done.get(timeout=30) == (True, ["forgotten"] * len(handles[::7]))
        finish(members[0])


def pass_on(method: str, queues: Any) -> None:
    child = multiprocessing.get_context(method).Process(target=put_number, args=(queues,))
    child.start()
    child.join()


def put_number(queues: Any) -> None:
    for number, queue in enumerate(queues):
        queue.put(number)


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_child_passes_them_on(method: str) -> None:
    queues: list[conveyor.Queue[int]] = [conveyor.Queue() for _ in range(400)]
    with crew() as members:
        members.append(multiprocessing.get_context(method).Process(target=pass_on, args=(method, queues)))
        members[0].start()
        assert [queue.get(timeout=30) for queue in queues] == list(range(400))
        finish(members[0])


_given: list[Any] = []


def remember(*handles: Any) -> None:
    _given.extend(handles)


def put_into(number: int) -> None:
    _given[number].put(number)


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_initargs_of_pools(method: str) -> None:
    context = multiprocessing.get_context(method)
    queues: list[conveyor.Queue[int]] = [conveyor.Queue() for _ in range(300)]
    with context.Pool(2, remember, queues) as pool:
        pool.map(put_into, range(300))
    assert [queue.get(timeout=30) for queue in queues] == list(range(300))
    with concurrent.futures.ProcessPoolExecutor(
        2, mp_context=context, initializer=remember, initargs=tuple(queues)
    ) as executor:
        list(executor.map(put_into, range(300)))
    assert [queue.get(timeout=30) for queue in queues] == list(range(300))


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_start_that_fails_leaves_nothing(method: str) -> None:
    context = multiprocessing.get_context(method)
    queues: list[conveyor.Queue[int]] = [conveyor.Queue() for _ in range(300)]
    for queue in queues:
        queue._reader.fileno()
    first = context.Process(target=put_number, args=(queues,))  # the server itself has descriptors here
    first.start()
    first.join()
    del first
    conveyor.Queue()
    before = descriptors()
    with socket.socket() as unfit, pytest.raises(TypeError):
        context.Process(target=print, args=(queues, (lambda: unfit).__closure__)).start()
    conveyor.Queue()
    assert descriptors() <= before
