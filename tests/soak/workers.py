"""The processes of an episode: producers and consumers that check and write down what they do.

Started by spawn and forkserver, too, which import this module: it imports little.
"""

from __future__ import annotations

import mmap
import os
import queue as standard
import random
import signal
import sys
import time
import zlib
from dataclasses import dataclass
from typing import Any

from ledger import Book, What

STOP, RUN = 1, 0
BATCH = 7


@dataclass(frozen=True)
class Task:
    """What a worker is to do; pickled to it."""

    folder: str
    worker: int
    seed: int
    mode: str
    payload: str
    faults: bool  # exceptions and forks of its own


class Flag:
    """One byte that all processes of an episode see."""

    def __init__(self, path: str) -> None:
        with open(path, "r+b") as file:  # noqa: PTH123
            self._memory = mmap.mmap(file.fileno(), 1)

    def get(self) -> int:
        return self._memory[0]

    def set(self, value: int) -> None:
        self._memory[0] = value


def make(payload: str, producer: int, number: int, chance: random.Random, queue: Any) -> Any:
    """An item whose content follows from its number."""
    seed = producer << 32 | number
    if payload == "array":
        import numpy as np

        size = chance.choice((1000, 10_000, 80_000, 250_000))
        if hasattr(queue, "allocate") and chance.random() < 0.3:
            array = queue.allocate(size, np.int64)
        else:
            array = np.empty(size, np.int64)
        array[:] = np.arange(seed, seed + size)
        return (producer, number, array)
    if payload == "bytes":
        data = seed.to_bytes(8, "little") * chance.choice((1, 10, 600, 9000, 40_000))
        return (producer, number, data, zlib.crc32(data))
    return (producer, number, {"seed": seed, "text": f"ä{seed}", "list": [seed, seed / 3, None]})


def is_sound(item: Any) -> bool:
    producer, number, body = item[:3]
    seed = producer << 32 | number
    if len(item) == 4:
        return zlib.crc32(body) == item[3] and body[:8] == seed.to_bytes(8, "little")
    if isinstance(body, dict):
        return body == {"seed": seed, "text": f"ä{seed}", "list": [seed, seed / 3, None]}
    size = len(body)
    return (
        int(body[0]) == seed and int(body[-1]) == seed + size - 1 and int(body.sum()) == sum_from(seed, size)
    )


def sum_from(seed: int, size: int) -> int:
    return size * seed + size * (size - 1) // 2


class Parent:
    """Who started this process: no worker outlives the soak."""

    def __init__(self) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self._pid = os.getppid()

    def check(self) -> None:
        if os.getppid() != self._pid:
            sys.exit("the soak has ended without this process")


def produce(task: Task, queue: Any, flag_path: str) -> None:
    parent = Parent()
    book, flag = Book(task.folder, task.worker), Flag(flag_path)
    chance = random.Random(task.seed)
    number = 0
    while flag.get() == RUN:
        parent.check()
        count = chance.randrange(2, 12) if task.mode == "many" and chance.random() < 0.5 else 1
        items = [make(task.payload, task.worker, number + i, chance, queue) for i in range(count)]
        while items:
            try:
                if count == 1:
                    queue.put(items[0], timeout=0.2)
                    items.clear()
                else:
                    queue.put_many(items, timeout=0.2)
                    items.clear()
            except standard.Full as full:
                del items[: getattr(full, "items_put", 0)]
                if flag.get() != RUN:
                    break
            put = number + count - len(items)
            if put > number:
                book.note(What.PUT, task.worker, put - 1)
        number += count - len(items)
        if task.faults and chance.random() < 0.0005:
            _fork_and_look(queue)
        if chance.random() < 0.02:
            time.sleep(chance.random() * 0.002)  # a producer that is slower now and then
    book.note(What.ENDED)


def _fork_and_look(queue: Any) -> None:
    """A child that has the queue, too, and ends in the middle of nothing."""
    child = os.fork()
    if child == 0:
        queue.qsize()
        os._exit(0)
    os.waitpid(child, 0)


class Told(Exception):
    """The consumer gives back what it has."""


def consume(task: Task, queue: Any, flag_path: str) -> None:
    parent = Parent()
    book, flag = Book(task.folder, task.worker), Flag(flag_path)
    chance = random.Random(task.seed)
    take = {"one": _get, "many": _get_many, "lease": _lease, "leases": _lease_many}[task.mode]
    ended = getattr(queue, "is_shutdown", None)
    kept: list[Any] = []
    from conveyor import ShutDown

    while True:
        parent.check()
        try:
            take(queue, book, chance, kept, task.faults)
        except standard.Empty:
            # One that cannot be shut down ends when it is empty and nobody puts any more.
            if ended is None and flag.get() == STOP:
                break
        except Told:
            pass
        except ShutDown:
            break
        del kept[3:]
        if task.faults and chance.random() < 0.0005:
            _fork_and_look(queue)
    book.note(What.ENDED)


def _check(item: Any, book: Book, what: What) -> None:
    book.note(what, item[0], item[1])
    if not is_sound(item):
        book.note(What.DAMAGED, item[0], item[1])


def _get(queue: Any, book: Book, chance: random.Random, kept: list[Any], faults: bool) -> None:
    item = queue.get(timeout=0.5)
    _check(item, book, What.GOT)
    if chance.random() < 0.1:
        kept.insert(0, item)


def _get_many(queue: Any, book: Book, chance: random.Random, kept: list[Any], faults: bool) -> None:
    items = queue.get_many(BATCH, timeout=0.5)
    for item in items:
        _check(item, book, What.GOT)


def _lease(queue: Any, book: Book, chance: random.Random, kept: list[Any], faults: bool) -> None:
    lease = queue.lease(timeout=0.5)
    item = lease.item
    _check(item, book, What.SEEN)
    if faults and chance.random() < 0.05:
        try:
            with lease:
                raise Told
        finally:
            book.note(What.BACK, item[0], item[1])
    if chance.random() < 0.02:
        time.sleep(chance.random() * 0.02)  # the work that a lease is for
    book.note(What.BEGUN, item[0], item[1])
    lease.acknowledge()
    book.note(What.ACKNOWLEDGED, item[0], item[1])


def _lease_many(queue: Any, book: Book, chance: random.Random, kept: list[Any], faults: bool) -> None:
    leases = queue.lease_many(BATCH, timeout=0.5)
    for lease in leases:
        _check(lease.item, book, What.SEEN)
    if chance.random() < 0.02:
        time.sleep(chance.random() * 0.02)
    for lease in leases:
        producer, number = lease.item[:2]
        if faults and chance.random() < 0.03:
            lease.release(delay=chance.choice((0, 0, 0.01)))
            book.note(What.BACK, producer, number)
            continue
        book.note(What.BEGUN, producer, number)
        lease.acknowledge()
        book.note(What.ACKNOWLEDGED, producer, number)
