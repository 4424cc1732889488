"""A queue takes addresses and descriptors for what is used of it, in each process; and where there are few of them."""

from __future__ import annotations

import multiprocessing
from typing import Any

import numpy
import pytest
from helpers import METHODS, crew, finish, python, until

import conveyor

MIB = 1 << 20
# Twenty thousand, and then everybody else can go on, too.
VERY_MANY = """
import os, pathlib, resource, sys
import conveyor
kind, count = getattr(conveyor, sys.argv[1]), int(sys.argv[2])
each = 4 if kind is conveyor.Pipe else 1  # descriptors
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
try:
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(hard, each * count + 200),) * 2)
except ValueError:  # only root may have more; then as many as there are descriptors for
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    count = min(count, (hard - 200) // each)

def addresses():
    return int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()

before = addresses()
made = [kind() for _ in range(count)]
a_mebibyte = 1 << 20
# One mapping of a mebibyte for each direction, and what Python takes for the objects.
assert addresses() - before < (2 if kind is conveyor.Pipe else 1) * count * a_mebibyte + 500 * a_mebibyte
maps = pathlib.Path("/proc/self/maps").read_text().count("\\n")
most = int(pathlib.Path("/proc/sys/vm/max_map_count").read_text())
assert maps < most - 5000, (maps, most)
large = bytearray(64 * a_mebibyte)
for each in made[::997]:
    if kind is conveyor.Pipe:
        each[0].send(large[:500_000])
        assert each[1].recv() == large[:500_000]
        each[1].send("back")
        assert each[0].recv() == "back"
    elif kind is conveyor.SharedDict:
        each["key"] = bytes(3 * a_mebibyte)
        assert each["key"] == bytes(3 * a_mebibyte)
    else:
        each.put("first")
        each.put(bytes(3 * a_mebibyte)) if kind is not conveyor.SimpleQueue else None
        assert each.get() == "first"
        assert kind is conveyor.SimpleQueue or each.get() == bytes(3 * a_mebibyte)
print("fine")
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "count"), [("Queue", 20_000), ("SimpleQueue", 20_000), ("SharedDict", 20_000), ("Pipe", 5_000)]
)
def test_twenty_thousand_in_a_process(kind: str, count: int) -> None:
    done = python(VERY_MANY, kind, count, seconds=170)
    assert (done.stdout, done.stderr) == ("fine\n", "")


A_THOUSAND = """
import resource, sys
import conveyor
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
make = eval(sys.argv[1])
made = [make() for _ in range(1000)]
large = bytearray(64 << 20)
for number, each in enumerate(made):
    if isinstance(each, tuple):
        each[0].send(number)
        assert each[1].recv() == number
    elif isinstance(each, conveyor.SharedDict):
        each["key"] = number
        assert each["key"] == number
    elif isinstance(each, conveyor.SharedList):
        each.append(number)
        assert each[0] == number
    else:
        each.put(number)
        assert each.get() == number
print("fine")
"""


@pytest.mark.parametrize(
    "make",
    [
        "conveyor.Queue",
        "conveyor.JoinableQueue",
        "conveyor.SimpleQueue",
        "lambda: conveyor.Queue(10)",
        "lambda: conveyor.Queue(max_bytes=100 << 20)",
        "conveyor.Pipe",
        "lambda: conveyor.Pipe(False)[::-1]",
        "conveyor.SharedDict",
        "conveyor.SharedList",
    ],
)
def test_a_thousand_where_addresses_are_limited(make: str) -> None:
    done = python(A_THOUSAND, make)
    assert (done.stdout, done.stderr) == ("fine\n", "")


# -- growing: each process for itself -------------------------------------------------------------------


def check_all(queue: Any, go: Any, told: Any, count: int) -> None:
    told.put("here")
    go.get()
    kept = []
    for number in range(count):
        item = queue.get(timeout=60)
        assert item[0] == number
        kept.append(item[1])
        assert item[1][0] == item[1][-1] == number
    # Each is where it was when it came, though the queue has been mapped again and again since.
    for number, array in enumerate(kept):
        assert (array == number).all()
    told.put("fine")


@pytest.mark.parametrize("method", METHODS)
def test_one_who_came_early_follows_a_backlog(method: str) -> None:
    context = multiprocessing.get_context(method)
    queue: conveyor.Queue[Any] = conveyor.Queue()
    go: conveyor.Queue[Any] = conveyor.Queue()
    told: conveyor.Queue[Any] = conveyor.Queue()
    with crew() as members:
        members.append(context.Process(target=check_all, args=(queue, go, told, 60)))
        members[0].start()
        assert told.get(timeout=60) == "here"
        for number in range(60):
            # Small ones, too, of which it has the pages in front and the others not.
            queue.put((number, numpy.full(1000 if number % 2 else 300_000, number)))
        assert queue.statistics().memory_held > 60 * MIB
        go.put("go")
        until(lambda: queue.qsize() == 0, "it has all")
        finish(members[0])
        assert told.get(timeout=60) == "fine"
    assert queue._check() == ""


def test_an_array_that_is_filled_in_place_is_moved_though_the_queue_has_grown() -> None:
    queue: conveyor.Queue[Any] = conveyor.Queue()
    early = queue.allocate(50_000, "u1")
    early[:] = 7
    for _ in range(10):
        queue.put(numpy.zeros(4 * MIB, "u1"))
    held = queue.statistics().memory_held
    queue.put(early)
    assert queue.statistics().memory_held - held < 64 * 1024  # not copied
    for _ in range(10):
        queue.get()
    received = queue.get()
    received[0] = 8
    assert early[0] == 8


def test_an_array_that_was_received_is_lent_on_though_the_queue_has_grown() -> None:
    carrier: conveyor.Queue[Any] = conveyor.Queue()
    carrier.put(numpy.arange(100_000))
    early = carrier.get()
    for _ in range(10):
        carrier.put(numpy.zeros(4 * MIB, "u1"))
    numpy.testing.assert_array_equal(early, numpy.arange(100_000))
    carrier.put(early[::2])
    for _ in range(10):
        carrier.get()
    numpy.testing.assert_array_equal(carrier.get(), numpy.arange(100_000)[::2])


def read_all(shared: Any, go: Any, told: Any) -> None:
    assert shared["before"] == "seen"
    told.put("here")
    go.get()
    assert all(shared[number] == bytes([number]) * MIB for number in range(80))
    shared["from the child"] = b"y" * (20 * MIB)


@pytest.mark.parametrize("method", METHODS)
def test_a_shared_dict_that_another_process_fills(method: str) -> None:
    context = multiprocessing.get_context(method)
    shared: conveyor.SharedDict[Any, Any] = conveyor.SharedDict()
    shared["before"] = "seen"
    go: conveyor.Queue[Any] = conveyor.Queue()
    told: conveyor.Queue[Any] = conveyor.Queue()
    with crew() as members:
        members.append(context.Process(target=read_all, args=(shared, go, told)))
        members[0].start()
        assert told.get(timeout=60) == "here"
        for number in range(80):
            shared[number] = bytes([number]) * MIB
        go.put("go")
        finish(members[0])
    assert shared["from the child"] == b"y" * (20 * MIB)
    assert len(shared) == 82


# -- no more addresses in the middle of it -----------------------------------------------------------------

LIMITED = """
import os, resource, sys
import conveyor

def limit(more):
    # Not by a file object: that wants a buffer, of 128 KiB from Python 3.14 on.
    statm = os.open("/proc/self/statm", os.O_RDONLY)
    used = int(os.read(statm, 100).split()[0]) * resource.getpagesize()
    os.close(statm)
    resource.setrlimit(resource.RLIMIT_AS, (used + more, resource.RLIM_INFINITY))

def refused(call):
    try:
        call()
    except conveyor.OutOfMemory as error:
        assert "ulimit -v" in str(error), error
        return True
    return False
"""

NO_ADDRESSES_TO_PUT = (
    LIMITED
    + """
queue = conveyor.Queue()
queue.put("first")
items = [b"x" * 4_000_000] * 4  # made before, as they take addresses, too
limit(20_000_000)
put = 0
try:
    for _ in range(1000):
        queue.put_many(items)
        put += 4
except conveyor.OutOfMemory as error:
    assert "ulimit -v" in str(error), error
    put += error.items_put
assert 0 < put < 12, put
assert queue.qsize() == 1 + put
assert queue._check() == "", queue._check()
queue.put("last")
limit(1 << 40)
assert queue.get() == "first"
for _ in range(put):
    assert queue.get() == items[0]
assert queue.get() == "last"
for _ in range(20):
    queue.put(items[0])
assert queue.qsize() == 20
print("fine")
"""
)

NO_ADDRESSES_TO_GET = (
    LIMITED
    + """
import os
queue, told = conveyor.JoinableQueue(), conveyor.Queue()
queue.put("in front")
child = os.fork()
if child == 0:
    told.get()
    assert queue.get() == "in front"
    queue.task_done()
    bytes(100_000)  # the allocator keeps the room for one: whether it had some before is an accident
    limit(200_000)
    first = []
    while not refused(lambda: first.append(queue.get())):  # those in front are mapped
        queue.task_done()
    assert 0 < len(first) < 15, len(first)
    assert refused(lambda: queue.get_many(100))
    assert refused(queue.lease)
    assert queue.qsize() == 300 - len(first)
    limit(1 << 40)
    assert first == [bytes([number]) * 100_000 for number in range(len(first))]
    for number in range(len(first), 300):
        with queue.lease() as item:
            assert item == bytes([number % 256]) * 100_000
    told.put("all")
    os._exit(0)
for number in range(300):
    queue.put(bytes([number % 256]) * 100_000)
told.put("go")
assert os.waitpid(child, 0)[1] == 0
assert told.get() == "all"
assert queue.join(timeout=10)
assert queue._check() == "", queue._check()
print("fine")
"""
)

NO_ADDRESSES_FOR_A_DICT = (
    LIMITED
    + """
import os
shared, told = conveyor.SharedDict(), conveyor.Queue()
shared[0] = "in front"
child = os.fork()
if child == 0:
    told.get()
    limit(100_000)
    assert refused(lambda: shared[0])
    assert refused(lambda: shared.__setitem__(1, 2))
    limit(1 << 40)
    assert shared[0] == "in front"
    assert len(shared["large"]) == 30_000_000
    shared[1] = 2
    os._exit(0)
shared["large"] = b"x" * 30_000_000
told.put("go")
assert os.waitpid(child, 0)[1] == 0
assert shared[1] == 2
item = b"y" * 30_000_000
limit(10_000_000)
assert refused(lambda: shared.__setitem__("more", item))
assert shared[0] == "in front" and "more" not in shared
print("fine")
"""
)


@pytest.mark.parametrize("program", [NO_ADDRESSES_TO_PUT, NO_ADDRESSES_TO_GET, NO_ADDRESSES_FOR_A_DICT])
def test_no_addresses_is_an_error_and_nothing_is_lost(program: str) -> None:
    done = python(program)
    assert (done.stdout, done.stderr) == ("fine\n", "")


# -- descriptors ---------------------------------------------------------------------------------------------

ONE_DESCRIPTOR = """
import os, select, sys
import conveyor

def descriptors():
    return len(os.listdir("/proc/self/fd"))

kind = getattr(conveyor, sys.argv[1])
kind().put(1)
before = descriptors()
queues = [kind() for _ in range(20)]
for queue in queues:
    queue.put(1)
    assert queue.get() == 1
assert descriptors() == before + 20
# Whoever asks for it first, and wherever: all processes of a queue have the same.
queue = queues[0]
child = os.fork()
if child == 0:
    assert select.select([queue._reader.fileno()], [], [], 30)[0]
    assert queue.get() == "from the parent"
    queues[1].put("from the child")
    os._exit(0)
queue.put("from the parent")
assert select.select([queues[1]._reader.fileno()], [], [], 30)[0]
assert queues[1].get() == "from the child"
assert not select.select([queues[1]._reader.fileno()], [], [], 0)[0]
assert os.waitpid(child, 0)[1] == 0
del queue, queues
assert descriptors() == before
print("fine")
"""


@pytest.mark.parametrize("kind", ["Queue", "JoinableQueue", "SimpleQueue"])
def test_a_queue_of_one_process_takes_one_descriptor(kind: str) -> None:
    done = python(ONE_DESCRIPTOR, kind)
    assert (done.stdout, done.stderr) == ("fine\n", "")


FEW_FOR_A_FORK = """
import os, resource
import conveyor
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
queues = [conveyor.Queue() for _ in range(40)]
child = os.fork()
if child == 0:
    for queue in queues:
        queue.put(os.getpid())
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
spare = [os.dup(0) for _ in range(5)]  # a fork leaves some to the program
watched = 0
for queue in queues:
    assert queue.get() == child
    try:
        queue._reader.fileno()
        watched += 1
    except OSError as error:
        assert "ulimit -n" in str(error), error
assert 0 < watched < 40
conveyor.Queue()._reader.fileno()
print("fine")
"""


def test_too_few_descriptors_for_all_to_be_watched_after_a_fork() -> None:
    done = python(FEW_FOR_A_FORK)
    assert (done.stdout, done.stderr) == ("fine\n", "")
