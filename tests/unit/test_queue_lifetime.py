"""What a queue is as a Python object: references, memory, types and subclasses; and queues within threads."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import queue as standard
import subprocess
import sys
import threading
import weakref
from dataclasses import FrozenInstanceError
from pathlib import Path
from types import GenericAlias
from typing import Any

import numpy
import pytest

import conveyor

every = pytest.mark.parametrize("kind", [conveyor.Queue, conveyor.JoinableQueue, conveyor.SimpleQueue])


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


def mappings() -> int:
    return Path("/proc/self/maps").read_text().count("memfd:conveyor")


@every
def test_the_last_reference_takes_memory_and_descriptors_with_it(kind: Any) -> None:
    kind().put(1)
    gc.collect()
    gc.disable()  # by the reference count alone: there is no cycle
    try:
        before = descriptors(), mappings()
        for _ in range(20):
            queue = kind()
            queue.put(b"x" * 300_000)
            queue._reader.poll()
            queue._reader.fileno()
            queue._writer.send(1)
            reference = weakref.ref(queue)
            del queue
            assert reference() is None
        assert (descriptors(), mappings()) == before
    finally:
        gc.enable()


@every
def test_it_may_be_part_of_a_cycle(kind: Any) -> None:
    before = mappings()
    queue = kind()
    queue.myself = queue
    reference = weakref.ref(queue)
    del queue
    gc.collect()
    assert reference() is None
    assert mappings() == before


@every
def test_the_ends_outlive_the_queue(kind: Any) -> None:
    queue = kind()
    reader, writer = queue._reader, queue._writer
    queue.put(1)
    del queue
    writer.send(2)
    assert [reader.recv(), reader.recv()] == [1, 2]


@every
def test_generic_alias(kind: Any) -> None:
    assert isinstance(kind[int], GenericAlias)
    assert kind[int].__origin__ is kind
    queue = kind[int]()
    assert type(queue) is kind
    queue.put(1)
    assert queue.get() == 1


@every
def test_no_more_than_the_standard_library_promises(kind: Any) -> None:
    queue = kind()
    for name in ("__len__", "__enter__", "__getitem__"):
        assert not hasattr(queue, name)
    assert bool(queue)
    assert queue == queue
    assert queue != kind()
    assert hash(queue) == hash(queue)
    assert type(queue).__name__ in repr(queue)


class Labelled(conveyor.Queue[Any]):
    def __init__(self, label: str, **options: Any) -> None:
        super().__init__(**options)
        self.label = label

    def __getstate__(self) -> tuple[Any, ...]:
        return (super().__getstate__(), self.label)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        super().__setstate__(state[0])
        self.label = state[1]


def test_a_subclass_with_state_of_its_own() -> None:
    queue = Labelled("mine", maxsize=2)
    other = pickle.loads(pickle.dumps(queue))
    assert (type(other), other.label, other._maxsize) == (Labelled, "mine", 2)
    queue.put("item")
    assert other.get() == "item"
    del other
    conveyor.Queue()


@every
def test_a_copy_is_another_handle_of_the_same_queue(kind: Any) -> None:
    queue = kind()
    for other in (copy.copy(queue), copy.deepcopy([queue, queue])[1]):
        other.put("item")
        assert queue.get() == "item"
    conveyor.Queue()


@every
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_pickle_protocol(kind: Any, protocol: int) -> None:
    queue = kind()
    other = pickle.loads(pickle.dumps(queue, protocol))
    other.put(protocol)
    assert queue.get() == protocol
    conveyor.Queue()


def test_an_item_is_not_held_by_the_queue() -> None:
    queue: conveyor.Queue[Any] = conveyor.Queue()
    for size in (10, 100_000):
        item = numpy.zeros(size)
        reference = weakref.ref(item)
        queue.put(item)
        queue.put_many([item, {"a": item}])
        del item
        assert reference() is None
        assert len(queue.get_many()) == 3


def test_what_was_put_does_not_change_afterwards() -> None:
    queue: conveyor.Queue[Any] = conveyor.Queue()
    for item in (["small"], [bytearray(b"x" * 100_000)]):
        queue.put(item)
        item.append("later")
        if isinstance(item[0], bytearray):
            item[0][0] = 0
    assert queue.get() == ["small"]
    assert queue.get() == [bytearray(b"x" * 100_000)]


def test_an_array_that_was_received_is_writable_and_ones_own() -> None:
    queue: conveyor.Queue[Any] = conveyor.Queue()
    for order in ("C", "F"):
        array = numpy.arange(100_000, dtype=numpy.float32).reshape(100, 1000, order=order)
        queue.put(array)
        queue.put(array[::3, ::7])
        received, part = queue.get(), queue.get()
        numpy.testing.assert_array_equal(received, array)
        numpy.testing.assert_array_equal(part, array[::3, ::7])
        assert received.flags.writeable
        received[:] = -1
        for _ in range(3):  # its memory is not used again while it lives
            queue.put(numpy.zeros((100, 1000), dtype=numpy.float32))
            queue.get()
        assert (received == -1).all()


def test_threads_on_both_sides() -> None:
    queue: conveyor.JoinableQueue[Any] = conveyor.JoinableQueue(10)
    received: list[Any] = []
    count, workers = 3000, 3

    def produce(number: int) -> None:
        for item in range(count):
            queue.put((number, item))

    def consume() -> None:
        own = []
        while (item := queue.get()) is not None:
            own.append(item)
            queue.task_done()
        received.append(own)

    producers = [threading.Thread(target=produce, args=(number,)) for number in range(workers)]
    consumers = [threading.Thread(target=consume) for _ in range(workers)]
    for thread in producers + consumers:
        thread.start()
    for thread in producers:
        thread.join()
    assert queue.join(timeout=30)
    for _ in consumers:
        queue.put(None)
    for thread in consumers:
        thread.join()
    everything = sorted(item for own in received for item in own)
    assert everything == [(w, n) for w in range(workers) for n in range(count)]
    for own in received:
        for number in range(workers):
            items = [item for who, item in own if who == number]
            assert items == sorted(items)


def test_a_waiting_thread_does_not_hold_up_the_others() -> None:
    queue: conveyor.Queue[str] = conveyor.Queue()
    received: list[str] = []
    waiting = threading.Thread(target=lambda: received.append(queue.get()))
    waiting.start()
    total = sum(range(200_000))  # runs, though the other thread waits
    queue.put("item")
    waiting.join(10)
    assert (received, total) == (["item"], 19_999_900_000)


NO_ADDRESS_SPACE = """
import resource, conveyor, pathlib
used = int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 50_000_000, resource.RLIM_INFINITY))
queues = []
try:
    while len(queues) < 100_000:
        queues.append(conveyor.Queue())
except conveyor.OutOfMemory as error:
    print("OutOfMemory", isinstance(error, MemoryError))
served = 0
for queue in queues:
    try:
        queue.put("item")
    except conveyor.OutOfMemory:
        assert queue.empty()
        continue
    assert queue.get() == "item"
    served += 1
assert served >= len(queues) - 2
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
for queue in queues:
    queue.put("item")
    assert queue.get() == "item"
"""


def test_no_address_space_is_an_error() -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    result = subprocess.run(
        [sys.executable, "-c", NO_ADDRESS_SPACE],
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (result.stdout, result.stderr) == ("OutOfMemory True\n", "")


@pytest.mark.parametrize("name", ["Queue", "JoinableQueue", "SimpleQueue", "Full", "Empty"])
def test_the_names_of_multiprocessing_queues(name: str) -> None:
    import multiprocessing.queues

    import conveyor.queues

    assert hasattr(multiprocessing.queues, name)
    ours = getattr(conveyor.queues, name)
    if name in ("Full", "Empty"):
        assert ours is getattr(standard, name)


def test_statistics() -> None:
    queue: conveyor.Queue[Any] = conveyor.Queue(3)
    assert queue.statistics().items_in == queue.statistics().producers == 0
    queue.put(b"x" * 100)
    queue.put(b"y" * 50)
    queue.put(b"z" * 50)
    with pytest.raises(standard.Full):
        queue.put(1, timeout=0.02)
    queue.get()
    now = queue.statistics()
    assert (now.items_in, now.items_out, now.depth, now.peak_depth) == (3, 1, 2, 3)
    assert (now.bytes_in, now.bytes_out) == (200, 100)
    assert (now.producers, now.consumers) == (1, 1)
    assert now.put_waits >= 1
    assert now.get_waits == 0
    assert 0.01 < now.put_blocked_seconds < 5
    assert now.get_blocked_seconds == 0
    assert now.memory_held > 0
    queue.get_many()
    with pytest.raises(standard.Empty):
        queue.get(timeout=0.02)
    assert queue.statistics().get_waits >= 1
    assert queue.statistics().get_blocked_seconds > 0.01
    with pytest.raises(FrozenInstanceError):
        now.depth = 0  # type: ignore[misc]
