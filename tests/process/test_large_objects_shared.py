"""Arrays in several processes: who may read what for how long, deaths, and too little memory."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from typing import Any

import numpy as np
import pytest
from helpers import METHODS, crew, finish, python, until
from test_defects_memory import in_namespace

import conveyor

MIB = 1 << 20


def echo_array(inbox: Any, outbox: Any, count: int) -> None:
    for _ in range(count):
        received = inbox.get()
        received *= 2
        outbox.put(received)
    assert inbox.statistics().memory_lent <= 2 * MIB


@pytest.mark.parametrize("method", METHODS)
def test_there_and_back(method: str) -> None:
    context = multiprocessing.get_context(method)
    there, back = conveyor.Queue(max_bytes=8 * MIB), conveyor.Queue()
    with crew() as members:
        process = context.Process(target=echo_array, args=(there, back, 20))
        members.append(process)
        process.start()
        for number in range(20):
            there.put(np.full(MIB // 8, number))
            assert (back.get() == 2 * number).all()
        finish(process)
    until(lambda: there.statistics().memory_lent == 0, "the child gave everything back")
    assert there._check() == ""
    assert back._check() == ""


def hoard(queue: Any, ready: Any, count: int) -> None:
    held = [queue.get() for _ in range(count)]
    ready.put(len(held))
    signal.pause()


@pytest.mark.parametrize("method", METHODS)
def test_a_killed_hoarders_memory_comes_back(method: str) -> None:
    context = multiprocessing.get_context(method)
    queue: Any = conveyor.Queue(max_bytes=5 * MIB)
    ready: Any = conveyor.Queue()
    with crew() as members:
        process = context.Process(target=hoard, args=(queue, ready, 2))
        members.append(process)
        process.start()
        for _ in range(2):
            queue.put(np.zeros(MIB, "u1"))
        assert ready.get(timeout=60) == 2
        assert queue.statistics().memory_lent == 2 * MIB
        queue.put(np.zeros(5 * MIB // 2, "u1"))
        producer = threading.Thread(target=queue.put, args=(np.zeros(2 * MIB, "u1"),))
        producer.start()
        until(lambda: queue.statistics().put_waits, "the producer waits for room")
        assert queue.qsize() == 1
        process.kill()
        process.join()
        producer.join(30)
        assert not producer.is_alive()
    assert queue.qsize() == 2
    assert queue.statistics().memory_lent == 0
    assert queue._check() == ""


def allocate_and_die(queue: Any, ready: Any) -> None:
    never_put = queue.allocate(MIB)
    put = queue.allocate(MIB)
    never_put[:], put[:] = 1, 2
    queue.put(put)
    ready.put(None)
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("method", METHODS)
def test_a_producer_killed_with_allocated_arrays(method: str) -> None:
    context = multiprocessing.get_context(method)
    queue: Any = conveyor.Queue()
    ready: Any = conveyor.Queue()
    with crew() as members:
        process = context.Process(target=allocate_and_die, args=(queue, ready))
        members.append(process)
        process.start()
        ready.get(timeout=60)
        process.join()
    received = queue.get()
    assert (received == 2).all()
    queue.statistics()  # notices the dead
    queue.put(1)
    assert queue.get() == 1
    del received
    assert queue._check() == ""
    assert queue.statistics().memory_held < 24 * MIB


def look(received: Any, there: Any, back: Any) -> None:
    assert (received == 7).all()
    back.put("seen")
    assert there.get() == "go on"
    del received


def test_a_forked_child_reads_what_its_parent_received() -> None:
    queue: Any = conveyor.Queue()
    there: Any = conveyor.Queue()
    back: Any = conveyor.Queue()
    queue.put(np.full(MIB, 7, "u1"))
    received = queue.get()
    allocated = queue.allocate(MIB, "u1")
    allocated[:] = 7
    context = multiprocessing.get_context("fork")
    with crew() as members:
        for view in (received, allocated):
            process = context.Process(target=look, args=(view, there, back))
            members.append(process)
            process.start()
            assert back.get(timeout=60) == "seen"
            there.put("go on")
            finish(process)
        # The child had only views: nothing was freed there.
        assert queue.statistics().memory_lent == MIB
        queue.put(np.full(MIB, 1, "u1"))
        assert (received == 7).all()
        assert (allocated == 7).all()
        queue.get()
        queue.put(allocated)
        again = queue.get()
        assert np.shares_memory(allocated, again)
    del received, allocated, again
    assert queue._check() == ""
    assert queue.statistics().memory_lent == 0


def put_inherited(view: Any, queue: Any) -> None:
    view[:] = 9
    queue.put(view)


def test_a_forked_child_puts_a_copy_of_what_its_parent_allocated() -> None:
    queue: Any = conveyor.Queue()
    allocated = queue.allocate(MIB, "u1")
    with crew() as members:
        process = multiprocessing.get_context("fork").Process(target=put_inherited, args=(allocated, queue))
        members.append(process)
        process.start()
        finish(process)
    assert not np.shares_memory(allocated, queue.get())
    queue.put(allocated)
    assert np.shares_memory(allocated, queue.get())


LITTLE_ADDRESS_SPACE = """
import resource, numpy, pathlib, conveyor
queue = conveyor.Queue(max_bytes=500_000_000)
queue.put(numpy.zeros(150_000_000, "u1"))
held = queue.get()
queue.put(b"x" * 150_000_000)
queue.put(numpy.ones(150_000_000, "u1"))
used = int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 100_000_000, resource.RLIM_INFINITY))
for attempt in queue.get, queue.get_nowait, queue.get_many, queue._reader.recv_bytes:
    try:
        attempt()
    except conveyor.OutOfMemory as error:
        print("stays in the queue" in str(error), queue.qsize())
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
assert queue.get() == b"x" * 150_000_000
resource.setrlimit(resource.RLIMIT_AS, (used + 100_000_000, resource.RLIM_INFINITY))
# More than half of the bound would be lent, but there is no memory for a copy: lent all the same.
received = queue.get()
print(received[-1], queue.statistics().memory_lent > 300_000_000)
"""


def test_no_address_space_for_a_copy_loses_nothing() -> None:
    result = python(LITTLE_ADDRESS_SPACE)
    assert (result.stderr, result.returncode) == ("", 0)
    assert result.stdout == "True 2\n" * 4 + "1 True\n"


LITTLE_SHARED_MEMORY = """
import numpy, conveyor
queue = conveyor.connect("shm://small", create=True)
put, held = 0, []
for round in range(3):
    try:
        while True:
            queue.put(numpy.full(100_000, put))
            put += 1
    except conveyor.OutOfMemory:
        pass
    try:
        while True:
            held.append(queue.allocate(100_000))
    except conveyor.OutOfMemory:
        held.clear()
    assert put == queue.statistics().items_in
    while queue.qsize():
        held.append(queue.get())
        assert (held[-1] == queue.statistics().items_out - 1).all()
    held.clear()
    assert queue.statistics().memory_lent == 0 and queue._check() == "", queue._check()
print("fine", put > 15)
conveyor.remove("shm://small")
"""


def test_a_small_dev_shm_is_an_error_and_no_bus_error() -> None:
    result = in_namespace("mount -t tmpfs -o size=8m none /dev/shm", LITTLE_SHARED_MEMORY)
    assert (result.stdout, result.stderr, result.returncode) == ("fine True\n", "", 0)
