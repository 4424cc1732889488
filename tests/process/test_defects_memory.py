"""Defects 17, 19, 29, 30 and 31: memory and descriptors, and what happens where there are few of them."""

from __future__ import annotations

import multiprocessing
import os
import queue as standard
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy
import pytest
from helpers import METHODS, anonymous_memory, crew, descriptors, finish, python, soundly_asleep, until

import conveyor

MIB = 1 << 20


def test_defect_17_unread_items_are_not_in_the_producer() -> None:
    queue: conveyor.Queue[bytes] = conveyor.Queue()
    before = anonymous_memory()
    for number in range(60):
        queue.put(bytes([number]) * MIB)
    assert anonymous_memory() - before < 10 * MIB
    held = queue.statistics().memory_held
    assert 60 * MIB <= held < 80 * MIB
    for number in range(60):
        assert queue.get() == bytes([number]) * MIB
    assert queue.statistics().memory_held < 20 * MIB  # given back as the backlog drains


UNREAD_IN_THE_STANDARD_LIBRARY = """
import multiprocessing, os
from helpers import anonymous_memory
queue = multiprocessing.Queue()
before = anonymous_memory()
for number in range(60):
    queue.put(bytes([number]) * (1 << 20))
print(anonymous_memory() - before > 50 << 20, flush=True)
os._exit(0)
"""


def test_defect_17_standard_library_keeps_them_there() -> None:
    assert python(UNREAD_IN_THE_STANDARD_LIBRARY).stdout == "True\n"


def test_defect_17_a_bound_in_bytes() -> None:
    queue: conveyor.Queue[bytes] = conveyor.Queue(max_bytes=4 * MIB)
    for _ in range(4):
        queue.put_nowait(b"x" * MIB)
    assert queue.full()
    with pytest.raises(standard.Full):
        queue.put(b"x", timeout=0.01)
    assert queue.statistics().memory_held < 8 * MIB
    with pytest.raises(conveyor.ItemTooLarge, match=str(4 * MIB)):
        queue.put(b"x" * (4 * MIB + 1))
    queue.get()
    queue.put_nowait(b"x" * MIB)


def put_many_blocks(queue: Any, count: int) -> None:
    for _ in range(count):
        queue.put(b"x" * MIB)


def test_defect_17_blocked_producers_take_no_memory_beyond_the_bound() -> None:
    queue: conveyor.Queue[bytes] = conveyor.Queue(max_bytes=4 * MIB)
    with crew() as members:
        for _ in range(6):
            members.append(
                multiprocessing.get_context("fork").Process(target=put_many_blocks, args=(queue, 10))
            )
            members[-1].start()
        for process in members:
            until(lambda process=process: soundly_asleep(process.pid or 0), "it waits for room")
        most = 0
        for _ in range(60):
            queue.get(timeout=30)
            most = max(most, queue.statistics().memory_held)
        for process in members:
            finish(process)
    assert most < 4 * MIB + 6 * 2 * MIB + 4 * MIB  # the bound, what is in each one's hand, free pages


PEAK = """
import pathlib, re, sys, numpy, conveyor, multiprocessing

def peak():  # getrusage would tell that of the parent, before the exec
    return int(re.search("VmHWM:\\s*(\\d+)", pathlib.Path("/proc/self/status").read_text())[1]) * 1024

def receive(queue, result):
    before = peak()
    array = queue.get()
    assert array[-1] == len(array) - 1
    result.send(peak() - before)

if __name__ == "__main__":
    module, size = sys.argv[1], int(sys.argv[2])
    context = multiprocessing.get_context("spawn")
    queue = (conveyor if module == "conveyor" else context).Queue()
    array = numpy.arange(size // 8)
    mine, theirs = context.Pipe()
    process = context.Process(target=receive, args=(queue, theirs))
    process.start()
    before = peak()
    queue.put(array)
    consumer = mine.recv()
    process.join()
    print(peak() - before, consumer)
"""


def test_defect_19_a_large_array_is_copied_little(tmp_path: Path) -> None:
    size = 64 * MIB
    script = tmp_path / "script.py"
    script.write_text(PEAK)
    growth = {}
    for module in ("conveyor", "multiprocessing"):
        output = subprocess.run(
            [sys.executable, str(script), module, str(size)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout
        growth[module] = [int(word) / size for word in output.split()]
    print(growth)
    # Producer: the copy in shared memory, and the one that the pickler makes of an array's buffer.
    # Consumer: the shared memory that it reads, and its array.
    producer, consumer = growth["conveyor"]
    assert producer < 2.2
    assert consumer < 2.2
    # Which from 3.14 on makes one copy less than before, as many as there are here.
    assert producer < growth["multiprocessing"][0] + 0.05


# A /dev with a few devices, and no shm.
NO_SHARED_MEMORY = """
mount -t tmpfs -o size=64k none /mnt
for device in null zero random urandom; do
    touch /mnt/$device
    mount --bind /dev/$device /mnt/$device
done
mount --rbind /mnt /dev
test ! -e /dev/shm"""
LITTLE_SHARED_MEMORY = "mount -t tmpfs -o size=64k none /dev/shm"


def in_namespace(mount: str, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program where `mount` has changed what is mounted, for it alone."""
    unshare = ["unshare", "--mount"] + ([] if os.geteuid() == 0 else ["--map-root-user"])
    probe = subprocess.run([*unshare, "sh", "-ec", mount], capture_output=True, text=True, check=False)
    if probe.returncode != 0:
        pytest.skip(
            f"this user may not change what is mounted in a namespace of its own: {probe.stderr.strip()}"
        )
    paths = [str(Path(__file__).parent), *filter(None, sys.path)]
    return subprocess.run(
        [*unshare, "sh", "-ec", f'{mount}; exec "$@"', "sh", sys.executable, "-c", code, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


QUEUES_AT_WORK = """
import sys, multiprocessing, conveyor, helpers
context = multiprocessing.get_context(sys.argv[1])
for kind in conveyor.Queue, conveyor.JoinableQueue, conveyor.SimpleQueue:
    there, back = kind(ctx=context), kind(ctx=context)
    process = context.Process(target=helpers.echo, args=(there, back, 3))
    process.start()
    for item in ("small", [1.5, {"x": None}], b"x" * 20_000_000):
        there.put(item)
        assert back.get() == item
    process.join()
    assert process.exitcode == 0
one, other = conveyor.Pipe()
one.send(1)
assert other.recv() == 1
print("fine")
"""


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("mount", [NO_SHARED_MEMORY, LITTLE_SHARED_MEMORY], ids=["none", "64 KiB"])
def test_defect_29_and_30_no_need_of_dev_shm(mount: str, method: str) -> None:
    result = in_namespace(mount, QUEUES_AT_WORK, method)
    assert (result.stdout, result.stderr, result.returncode) == ("fine\n", "", 0)


def test_defect_29_standard_library_needs_it() -> None:
    result = in_namespace(NO_SHARED_MEMORY, "import multiprocessing; multiprocessing.Queue()")
    assert result.returncode == 1
    assert "Error" in result.stderr


NAMED_QUEUE = """
import conveyor
from conveyor.errors import OutOfMemory
try:
    queue = conveyor.connect("shm://little", create=True)
    for number in range(100):
        queue.put(b"x" * 5000)
except (OutOfMemory, OSError) as error:
    print(type(error).__name__, error)
"""


def test_defect_29_a_named_queue_says_what_it_misses() -> None:
    result = in_namespace(NO_SHARED_MEMORY, NAMED_QUEUE)
    assert (result.stderr, result.returncode) == ("", 0)
    assert "/dev/shm" in result.stdout


def test_defect_30_a_full_dev_shm_is_an_error_and_no_bus_error() -> None:
    result = in_namespace(LITTLE_SHARED_MEMORY, NAMED_QUEUE)
    assert (result.stderr, result.returncode) == ("", 0)
    assert result.stdout.startswith("OutOfMemory")
    assert "/dev/shm" in result.stdout


NAMED_QUEUE_FILLS_UP = """
import conveyor
from conveyor.errors import OutOfMemory
queue = conveyor.connect("shm://medium", create=True)
for size in (100, 10_000, 100_000, 1_500_000):
    before = queue.qsize()
    count = 0
    try:
        while True:
            queue.put((count, b"x" * size))
            count += 1
    except OutOfMemory:
        pass
    assert queue.qsize() == before + count, "a failed put leaves the queue as it was"
    assert queue._check() == "", queue._check()
    while queue.qsize():
        queue.get()
    queue.put("after")
    assert queue.get() == "after"
    print(size, count > 0)
"""


def test_defect_30_a_queue_that_fills_dev_shm_goes_on() -> None:
    result = in_namespace("mount -t tmpfs -o size=4m none /dev/shm", NAMED_QUEUE_FILLS_UP)
    assert (result.stderr, result.returncode) == ("", 0)
    assert result.stdout == "100 True\n10000 True\n100000 True\n1500000 True\n"


def test_defect_31_descriptors_do_not_grow_with_items() -> None:
    queue: conveyor.Queue[Any] = conveyor.Queue()
    queue.put(numpy.zeros(100_000))
    queue.get()
    before = descriptors()
    for _ in range(300):
        queue.put(numpy.zeros(100_000))
    assert descriptors() == before
    received = [queue.get() for _ in range(300)]
    assert descriptors() == before
    assert len(received) == 300


@pytest.mark.parametrize("kind", [conveyor.Queue, conveyor.JoinableQueue, conveyor.SimpleQueue])
def test_defect_31_few_a_queue_and_none_afterwards(kind: Any) -> None:
    kind().put(1)
    before = descriptors()
    queues = [kind() for _ in range(50)]
    for queue in queues:
        queue.put(1)
        queue._reader.poll()
        queue._reader.fileno()
    assert descriptors() - before <= 3 * 50
    del queues, queue
    assert descriptors() == before


def test_defect_31_receiving_a_handle_again_and_again() -> None:
    carrier: conveyor.Queue[Any] = conveyor.Queue()
    carried: conveyor.Queue[int] = conveyor.Queue()
    carrier.put(carried)
    carrier.get()
    before = descriptors()
    received = []
    for number in range(500):
        carrier.put(carried)
        received.append(carrier.get())
        received[-1].put(number)
    assert descriptors() == before
    assert [carried.get_nowait() for _ in range(500)] == list(range(500))
    del carrier, carried, received
    conveyor.Queue()  # lets go of what was sent and has been received


FEW_DESCRIPTORS = """
import resource, conveyor, pytest
resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
queues = []
try:
    while True:
        queues.append(conveyor.Queue())
except OSError as error:
    print(type(error).__name__, len(queues) > 5)
for queue in queues:
    queue.put("still works")
    assert queue.get() == "still works"
del queue, queues
conveyor.Queue().put("and so does a new one")
"""


def test_defect_31_out_of_descriptors_is_an_error() -> None:
    result = python(FEW_DESCRIPTORS)
    assert (result.stderr, result.returncode) == ("", 0)
    assert result.stdout == "OSError True\n"
