"""Defects 18, 37 and 38: small messages are cheap, go many at a time, and many may write."""

from __future__ import annotations

import collections
import multiprocessing
import threading
from pathlib import Path
from typing import Any

import pytest
from helpers import METHODS, Mill, crew, finish

import conveyor

ITEM = (42, "abc", 3.14, {"k": 1})


def test_defect_18_there_is_no_thread() -> None:
    before = threading.active_count()
    tasks = set(Path("/proc/self/task").iterdir())  # libraries have theirs
    queues: list[Any] = [conveyor.Queue(), conveyor.JoinableQueue(), conveyor.SimpleQueue()]
    for queue in queues:
        queue.put(1)
    assert threading.active_count() == before
    assert set(Path("/proc/self/task").iterdir()) <= tasks


def put_in_batches(queue: Any, producer: int, batches: int, size: int) -> None:
    for batch in range(batches):
        queue.put_many((producer, batch * size + i) for i in range(size))


def get_in_batches(queue: Any, results: Any, most: int) -> None:
    received: list[Any] = []
    while True:
        batch = queue.get_many(most)
        assert 1 <= len(batch) <= most
        received += [item for item in batch if item is not None]
        if None in batch:
            assert batch[-1] is None or all(item is None for item in batch[batch.index(None) :])
            # More than one end may have come in one batch: the others get theirs.
            queue.put_many([None] * (batch.count(None) - 1))
            results.put(received)
            return


@pytest.mark.parametrize("maxsize", [0, 7])
@pytest.mark.parametrize("method", METHODS)
def test_defect_38_batches_between_processes(method: str, maxsize: int) -> None:
    context = multiprocessing.get_context(method)
    queue: conveyor.Queue[Any] = conveyor.Queue(maxsize)
    results: conveyor.Queue[list[Any]] = conveyor.Queue()
    producers, consumers, batches, size = 2, 2, 20, 50
    with crew() as members:
        for number in range(producers):
            arguments = (queue, number, batches, size)
            members.append(context.Process(target=put_in_batches, args=arguments))
        for _ in range(consumers):
            members.append(context.Process(target=get_in_batches, args=(queue, results, 16)))
        for process in members:
            process.start()
        for process in members[:producers]:
            finish(process)
        queue.put_many([None] * consumers, timeout=30)
        received = [results.get(timeout=30) for _ in range(consumers)]
        for process in members[producers:]:
            finish(process)
    for items in received:  # first in, first out for each producer
        for number in range(producers):
            own = [item[1] for item in items if item[0] == number]
            assert own == sorted(own)
    everything = sorted(item for items in received for item in items)
    assert everything == [(p, n) for p in range(producers) for n in range(batches * size)]


def test_defect_38_batches_and_single_items_mix(tmp_path: Path) -> None:
    queue: conveyor.Queue[Any] = conveyor.Queue(maxsize=30)
    mill = Mill(multiprocessing.get_context("fork"), queue, tmp_path, batch=20, seed=38)
    mill.run(("producer", "consumer"), 30)
    mill.check()


def send_labelled(end: Any, label: int, count: int) -> None:
    for number in range(count):
        end.send((label, number, bytes([label]) * (100_000 if number % 4 == 0 else 10)))


@pytest.mark.parametrize("method", [*METHODS, "threads"])
def test_defect_37_many_writers_on_one_end_of_a_pipe(method: str) -> None:
    receiving, sending = conveyor.Pipe(False)
    count, writers = 200, 4
    workers: list[Any] = []
    with crew() as members, receiving, sending:
        for label in range(writers):
            if method == "threads":
                workers.append(threading.Thread(target=send_labelled, args=(sending, label, count)))
            else:
                process = multiprocessing.get_context(method).Process(
                    target=send_labelled, args=(sending, label, count)
                )
                members.append(process)
                workers.append(process)
            workers[-1].start()
        received: dict[int, list[int]] = collections.defaultdict(list)
        for _ in range(count * writers):
            assert receiving.poll(30)
            label, number, data = receiving.recv()
            assert data == bytes([label]) * (100_000 if number % 4 == 0 else 10)
            received[label].append(number)
        for worker in workers:
            worker.join()
        assert received == {label: list(range(count)) for label in range(writers)}
        assert not receiving.poll()
