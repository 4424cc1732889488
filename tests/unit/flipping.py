"""A program that uses queues while another process flips bits in their memory; see test_hostile.py.

    python flipping.py NAME CODEC SEED ROUNDS

CODEC: "auto" or "raw"; or "arrays", which is auto with NumPy arrays. Those are pickled, all but their data, and what
unpickling damaged bytes does is Python's business: it has been seen to crash. So that is for looking, not for CI.

Each round makes a queue, and after each call on it the other process flips a bit, while the next call is
already under way. It prints what came of the calls, and how long the longest took.
"""

from __future__ import annotations

import contextlib
import faulthandler
import fcntl
import json
import mmap
import os
import pickle
import queue as standard
import random
import resource
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

import conveyor
from conveyor.errors import ConveyorError

CALLS = 60
TIMEOUT = 0.02
PAGE = 65536
# What unpickling damaged bytes may raise; never for what is not pickled.
OF_PICKLE = (
    pickle.UnpicklingError,
    ArithmeticError,
    AttributeError,
    BufferError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    NameError,
    RecursionError,
    SystemError,
    SyntaxError,
    TypeError,
    ValueError,
)


class Layout:
    """Where a sound segment has its parts."""

    def __init__(self, memory: mmap.mmap) -> None:
        def number(at: int) -> int:
            return int.from_bytes(memory[at : at + 8], "little")

        self.size = len(memory)
        self.descriptors, self.cold, self.pages, self.leases = number(24), number(32), number(40), number(80)

    def place(self, choose: random.Random) -> int:
        """Where to flip: anywhere, but mostly where something is."""
        kind = choose.random()
        if kind < 0.35:
            return choose.randrange(1700)  # everything in the header but the lists of users
        if kind < 0.4:
            return choose.randrange(self.descriptors)
        if kind < 0.6:
            return self.descriptors + choose.randrange(32 * 40)  # of the first pages
        if kind < 0.65:
            return self.cold + choose.randrange(8)
        if kind < 0.75:
            return self.leases + choose.randrange(256 * 8)
        return min(self.pages + PAGE * choose.randrange(8) + choose.randrange(3000), self.size - 1)


def flip_bits(orders: int, opened: int, names: list[str], seed: int) -> None:
    """For each order: `n`, open the next queue and say so; `f`, flip a bit."""
    choose = random.Random(seed)
    memory: mmap.mmap | None = None
    remaining = iter(names)
    while got := os.read(orders, 1):
        if got == b"n":
            with open(f"/dev/shm/conveyor.{next(remaining)}", "r+b") as file:  # noqa: PTH123
                memory = mmap.mmap(file.fileno(), 0)
                layout = Layout(memory)
            os.write(opened, b"o")
        elif memory is not None:
            at = layout.place(choose)
            if choose.random() < 0.8:
                memory[at] ^= 1 << choose.randrange(8)
            else:  # a whole number
                at &= ~7
                value = choose.choice([0, 1, 2**32 - 1, 2**64 - 1, 2**63, choose.randrange(2**20)])
                memory[at : at + 8] = value.to_bytes(8, "little")


def small(choose: random.Random) -> Any:
    size = choose.randrange(40)
    return choose.choice(
        [size, "x" * size, "ä€" * size, ("item", size, [1.5, {"a": b"x" * size}]), {size, -1}, 1 << size]
    )


class Program:
    def __init__(self, queue: Any, choose: random.Random, codec: str) -> None:
        self.queue, self.choose = queue, choose
        self.plain, self.arrays = codec == "raw", codec == "arrays"
        self.kept: list[Any] = []

    def item(self) -> Any:
        sizes = (self.choose.randrange(300), 5000, 20_000, 100_000, 300_000)
        size = self.choose.choice(sizes)
        if self.plain or self.choose.random() < 0.3:
            return b"z" * size
        if not self.arrays or self.choose.random() < 0.5:
            return small(self.choose)
        return (
            np.arange(size // 8)
            if self.choose.random() < 0.5
            else {"a": np.arange(9), "b": np.zeros(size // 8)}
        )

    def keep(self, item: Any) -> None:
        """Look at all of it, as its receiver would, and keep some."""
        if isinstance(item, np.ndarray) and item.dtype != object:
            item.sum()
            if item.flags.writeable:
                item[...] = 1
        else:
            repr(item)
        self.kept.append(item)
        if len(self.kept) > 3:
            del self.kept[self.choose.randrange(3)]

    def allocate(self) -> None:
        if not self.arrays:
            self.queue.put(b"", timeout=TIMEOUT)
            return
        array = self.queue.allocate(self.choose.choice([10, 20_000, 50_000]))
        array[:] = 3.5
        self.queue.put((1, array), timeout=TIMEOUT)
        self.kept.append(array)

    def call(self) -> None:
        queue, choose = self.queue, self.choose
        calls: list[Callable[[], Any]] = [
            lambda: queue.put(self.item(), timeout=TIMEOUT),
            lambda: queue.put(self.item(), timeout=TIMEOUT),
            lambda: queue.put_many([self.item() for _ in range(5)], timeout=TIMEOUT),
            lambda: queue.put_nowait(self.item()),
            lambda: self.keep(queue.get(timeout=TIMEOUT)),
            lambda: self.keep(queue.get(timeout=TIMEOUT)),
            lambda: self.keep(queue.get_many(3, timeout=TIMEOUT)),
            lambda: self.keep(queue.get_nowait()),
            self.allocate,
            queue.statistics,
            queue.qsize,
            queue.empty,
            queue.full,
            lambda: queue._check(TIMEOUT),
            lambda: queue._reader.poll(TIMEOUT),
            lambda: self.keep(queue.lease(timeout=TIMEOUT).item),
            lambda: self.keep([each.item for each in queue._lease_many(3, TIMEOUT)]),
        ]
        if choose.random() < 0.02:
            return void(queue._reader.fileno())
        return void(choose.choice(calls)())


def void(_: Any) -> None:
    pass


def with_small_pool(name: str, codec: str) -> Any:
    """A new queue of a few thousand pages: the limit on files is what a pool is measured by."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**29, limits[1]))
    try:
        bound = random.Random(name).choice([None, None, 2**20])
        return conveyor.connect(f"shm://{name}", create=True, codec=codec, max_bytes=bound)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def main(name: str, codec: str, seed: int, rounds: int) -> None:
    faulthandler.enable()
    faulthandler.dump_traceback_later(50, exit=True)
    if "CONVEYOR_SANITIZED" not in os.environ:  # damaged pickles may ask for anything
        resource.setrlimit(resource.RLIMIT_DATA, (2**31, resource.getrlimit(resource.RLIMIT_DATA)[1]))
    names = [f"{name}-{number}" for number in range(rounds)]
    reading, writing = os.pipe()
    waiting, opened = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETFL, os.O_NONBLOCK)
    flipper = os.fork()
    if flipper == 0:
        os.close(writing)
        os.close(waiting)
        code = 1
        try:
            flip_bits(reading, opened, names, seed)
            code = 0
        except Exception:
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(reading)
    os.close(opened)
    choose = random.Random(seed)
    outcomes: Counter[str] = Counter()
    longest = 0.0
    plain = codec == "raw"
    # ShutDown: a flipped bit may say that the stream has ended, as a shutdown does.
    allowed = (ConveyorError, standard.Full, standard.Empty, conveyor.ShutDown, MemoryError, TimeoutError)
    for each in names:
        queue = with_small_pool(each, "auto" if codec == "arrays" else codec)
        try:
            program = Program(queue, choose, codec)
            for _ in range(12):
                with contextlib.suppress(standard.Full):  # the bound is one MiB
                    queue.put(program.item(), block=False)
            os.write(writing, b"n")
            assert os.read(waiting, 1) == b"o"
            for _ in range(CALLS):
                start = time.monotonic()
                try:
                    program.call()
                    outcomes["fine"] += 1
                except allowed as error:
                    outcomes[type(error).__name__] += 1
                except OF_PICKLE:
                    if plain:  # then nothing is pickled
                        raise
                    outcomes["of pickle"] += 1
                longest = max(longest, time.monotonic() - start)
                with contextlib.suppress(BlockingIOError):
                    os.write(writing, b"f")
            program.kept.clear()
        finally:
            del queue
            conveyor.remove(f"shm://{each}")
    os.close(writing)
    assert os.waitpid(flipper, 0)[1] == 0, "the process that flips failed"
    print(json.dumps({"longest": longest, "outcomes": outcomes}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
