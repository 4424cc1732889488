"""What is sent arrives also where the kernel keeps the receiver from the sender's descriptors in /proc.

It does so when either has changed its user or group, as daemons do, when the sender is not dumpable, and when the
receiver has fewer capabilities.
"""

from __future__ import annotations

import ctypes
import hmac as _hmac  # noqa: F401  for multiprocessing.resource_sharer: later its file may be out of reach
import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import forkserver
from typing import Any

import numpy
import pytest
from helpers import METHODS, crew, finish, until

import conveyor
from conveyor._memory.descriptor_server import Offer, Reach, reach, server
from conveyor._native import is_dumpable
from conveyor.errors import SegmentGone
from conveyor.queues.pipe import Pipe

NOBODY = 65534
PR_SET_DUMPABLE, PR_CAPBSET_DROP = 4, 24
CAP_SYS_PTRACE = 19
THREAD = "conveyor-descriptors"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can change its user")


def setuid() -> None:
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)


def setgid() -> None:
    os.setegid(NOBODY)


def seteuid() -> None:
    os.seteuid(NOBODY)


def undumpable() -> None:
    setuid()
    assert _libc.prctl(PR_SET_DUMPABLE, 0) == 0


def dumpable_again() -> None:
    """Another user, of whom others of that user may see everything."""
    setuid()
    assert _libc.prctl(PR_SET_DUMPABLE, 1) == 0


def nothing() -> None:
    pass


_libc = ctypes.CDLL(None)


class End:
    """One end of a `Pipe` in the place of a queue."""

    def __init__(self, connection: Any) -> None:
        self.put = connection.send
        self._connection = connection

    def get(self, timeout: float) -> Any:
        assert self._connection.poll(timeout)
        return self._connection.recv()


class Simple:
    """A `SimpleQueue`, whose `get` has no timeout."""

    def __init__(self, queue: Any) -> None:
        self._queue = queue

    def get(self, timeout: float) -> Any:
        return self._queue.get()


class Managed:
    """A manager's queue. Its socket lies in a folder of one user's: each side must open it first."""

    def __init__(self, proxy: Any) -> None:
        self._proxy = proxy

    def put(self, item: Any) -> None:
        self._proxy.put(item)

    def get(self, timeout: float) -> Any:
        return self._proxy.get(timeout=timeout)

    def prepare(self) -> None:
        self._proxy.qsize()


@contextmanager
def carrier_of(kind: str) -> Iterator[tuple[Any, Any]]:
    """Where to put, and where to get."""
    if kind == "Pipe":
        receiving, sending = Pipe(duplex=False)
        with receiving, sending:
            yield End(sending), End(receiving)
    elif kind == "manager":
        with multiprocessing.get_context("fork").Manager() as manager:
            managed = Managed(manager.Queue())
            yield managed, managed
    elif kind == "SimpleQueue":
        simple: Any = conveyor.SimpleQueue()
        yield simple, Simple(simple)
    else:
        queue: Any = conveyor.Queue()
        yield queue, queue


def offer_all(carrier: Any, drop: Callable[[], None]) -> None:
    getattr(carrier, "prepare", nothing)()
    drop()
    queue: Any = conveyor.Queue()
    answers: Any = conveyor.SimpleQueue()
    keys, numbers = conveyor.SharedDict(), conveyor.SharedList()
    lock, event, semaphore = conveyor.Lock(), conveyor.Event(), conveyor.Semaphore(0)
    value = conveyor.SharedValue("i")
    here, there = Pipe()
    reading, writing = Pipe(duplex=False)
    assert lock.acquire()
    carrier.put((queue, answers, keys, numbers, lock, event, semaphore, value, there, writing))
    assert queue.get(timeout=20) == "through the queue"
    assert answers.get() == "through the simple queue"
    assert keys["key"] == 1
    assert list(numbers) == [2]
    assert event.wait(20)
    assert value.value == 3
    assert here.recv() == "through the pipe"
    assert reading.recv() == "one way"
    here.send("and back")
    lock.release()
    assert semaphore.acquire(timeout=20)


def use_all(carrier: Any, drop: Callable[[], None]) -> None:
    getattr(carrier, "prepare", nothing)()
    drop()
    queue, answers, keys, numbers, lock, event, semaphore, value, there, writing = carrier.get(timeout=20)
    keys["key"] = 1
    numbers.append(2)
    value.value = 3
    event.set()
    there.send("through the pipe")
    writing.send("one way")
    queue.put("through the queue")
    answers.put("through the simple queue")
    assert there.recv() == "and back"
    assert lock.acquire(timeout=20)
    semaphore.release()


SENDERS = (nothing, setuid, seteuid, setgid, undumpable, dumpable_again)
RECEIVERS = (nothing, setuid, seteuid, setgid)
# An ordinary process does not offer what only another user would ask for.
BY_QUEUE = [
    ("Queue", sender, receiver)
    for sender in SENDERS
    for receiver in RECEIVERS
    if (sender, receiver) != (dumpable_again, seteuid)
]
BY_OTHERS = [
    (kind, sender, receiver)
    for kind in ("SimpleQueue", "Pipe", "manager")
    for sender, receiver in ((nothing, setuid), (setuid, nothing), (setuid, setuid))
]


@pytest.mark.parametrize(("kind", "sender", "receiver"), BY_QUEUE + BY_OTHERS)
def test_it_arrives(kind: str, sender: Any, receiver: Any) -> None:
    fork = multiprocessing.get_context("fork")
    with crew() as members, carrier_of(kind) as (putting, getting):
        members.append(fork.Process(target=offer_all, args=(putting, sender)))
        members.append(fork.Process(target=use_all, args=(getting, receiver)))
        for member in members:
            member.start()
        for member in members:
            finish(member)


def answer(queue: Any, pipe: Any, event: Any, keys: Any) -> None:
    queue.put("queue")
    pipe.send("pipe")
    keys["key"] = "dict"
    event.set()


def start_and_hear(method: str) -> None:
    setgid()  # the program's files are still to be read
    assert _libc.prctl(PR_SET_DUMPABLE, 0) == 0
    forkserver._forkserver.__init__()  # that of the process that forked this one is not for us
    queue: Any = conveyor.Queue()
    event, keys = conveyor.Event(), conveyor.SharedDict()
    here, there = Pipe()
    process = multiprocessing.get_context(method).Process(target=answer, args=(queue, there, event, keys))
    process.start()
    assert event.wait(30)
    assert (queue.get(timeout=5), here.recv(), keys["key"]) == ("queue", "pipe", "dict")
    process.join()
    assert process.exitcode == 0


@pytest.mark.parametrize("method", METHODS)
def test_children_are_handed_it(method: str) -> None:
    with crew() as members:
        members.append(multiprocessing.get_context("fork").Process(target=start_and_hear, args=(method,)))
        members[0].start()
        finish(members[0])


def send_and_die(carrier: Any, left: Any, drop: Callable[[], None], item: Callable[[], Any]) -> None:
    drop()
    carrier.put(item())
    child = os.fork()  # has all that the sender has, its socket too
    if child == 0:
        signal.pause()
    left.put(child)
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize(
    "item", [conveyor.Queue, conveyor.SharedDict, lambda: Pipe()[0]], ids=["queue", "dict", "pipe"]
)
@pytest.mark.parametrize("drop", [nothing, setuid, undumpable])
def test_a_dead_sender_is_told_as_dead(drop: Any, item: Any) -> None:
    carrier: Any = conveyor.Queue()
    left: Any = conveyor.SimpleQueue()
    process = multiprocessing.get_context("fork").Process(
        target=send_and_die, args=(carrier, left, drop, item)
    )
    process.start()
    process.join()
    try:
        with pytest.raises(SegmentGone, match=f"gone: process {process.pid}, which sent it, has ended"):
            carrier.get(timeout=10)
    finally:
        os.kill(left.get(), signal.SIGKILL)


def test_the_server_is_there_while_something_is_on_offer() -> None:
    assert reach(is_dumpable()) is Reach.SAME_PRIVILEGES
    carrier: Any = conveyor.Queue()
    for _ in range(3):
        carrier.put((conveyor.Lock(), Pipe()[0]))
        assert THREAD in [thread.name for thread in threading.enumerate()]
        carrier.get()[1].close()
        until(lambda: THREAD not in [thread.name for thread in threading.enumerate()], "the server ends")


def test_privileged_and_among_equals_it_is_offered_for_a_while_only() -> None:
    queue: Any = conveyor.Queue()
    sent = pickle.dumps(queue)
    until(lambda: not server._on_offer, "nobody has dropped privileges, so that nobody will ask")
    pickle.loads(sent)


def drop_and_wait(ready: Any, go_on: Any) -> None:
    setuid()
    ready.set()
    go_on.wait()


def test_privileged_beside_others_it_is_offered_as_long_as_they_are_there() -> None:
    sent = pickle.dumps(queue := conveyor.Queue[Any]())
    [on_offer] = server._on_offer.values()
    on_offer._until = 0.0
    assert on_offer.is_over()
    ready, go_on = conveyor.Event(), conveyor.Event()
    process = multiprocessing.get_context("fork").Process(target=drop_and_wait, args=(ready, go_on))
    process.start()
    ready.wait()
    on_offer._until = 0.0
    assert not on_offer.is_over()
    go_on.set()
    finish(process)
    pickle.loads(sent)
    assert on_offer.is_over()
    until(lambda: not server._on_offer, "the server ends")
    del queue


def test_one_offer_for_what_is_sent_often() -> None:
    carrier, lock = conveyor.Queue[Any](), conveyor.Lock()
    for _ in range(100):
        carrier.put(lock)
    assert len(server._on_offer) == 1
    for _ in range(100):
        carrier.get()
    until(lambda: not server._on_offer, "the server ends")


def test_without_the_secret_there_is_nothing() -> None:
    lock = conveyor.Lock()
    sent = pickle.dumps(lock)
    [offer] = server._made.values()
    assert Offer(offer.address, bytes(16), 1).take() is None
    assert Offer(offer.address, b"", 1).take() is None
    assert Offer(f"{offer.address}0", offer.secret, 1).take() is None
    taken = offer.take()
    assert taken is not None
    [fd] = taken
    assert os.fstat(fd).st_ino == os.fstat(lock._region.memory_fd).st_ino
    assert not os.get_inheritable(fd)
    os.close(fd)
    pickle.loads(sent)
    until(lambda: not server._on_offer, "the server ends")


def ordinary(answers: Any) -> None:
    dumpable_again()
    carrier: Any = conveyor.Queue()
    carrier.put(conveyor.Lock())
    answers.put((reach(is_dumpable()), threading.active_count()))


def test_an_ordinary_process_needs_no_thread() -> None:
    answers: Any = conveyor.SimpleQueue()
    process = multiprocessing.get_context("fork").Process(target=ordinary, args=(answers,))
    process.start()
    assert answers.get() == (Reach.SAME_USER, 1)
    finish(process)


def large(number: int) -> Any:
    return numpy.full(100_000, number)


def total(array: Any) -> int:
    return int(array.sum())


def give_up_looking_at_others() -> None:
    """Root as in a container: without CAP_SYS_PTRACE."""
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    sets = (ctypes.c_uint32 * 6)()
    assert _libc.capget(header, sets) == 0
    for number in range(3):
        sets[number] &= ~(1 << CAP_SYS_PTRACE)
    assert _libc.prctl(PR_CAPBSET_DROP, CAP_SYS_PTRACE) == 0
    assert _libc.capset(header, sets) == 0


def run_with_arrays(method: Any) -> None:
    give_up_looking_at_others()
    assert _libc.prctl(PR_SET_DUMPABLE, 0) == 0
    lines: Any = conveyor.Pipeline(range(3)).map(large, workers=1).map(total, workers=1)
    assert sorted(lines.stream(start_method=method)) == [0, 100_000, 200_000]


@pytest.mark.parametrize("method", METHODS)
def test_a_pipeline_carries_arrays(method: str) -> None:
    with crew() as members:
        members.append(multiprocessing.get_context("fork").Process(target=run_with_arrays, args=(method,)))
        members[0].start()
        finish(members[0])
