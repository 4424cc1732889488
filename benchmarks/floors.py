"""What Python itself takes for each kind of small item: the floor under docs/performance.md's rows.

For each: two calls of a C method that keep the object (`deque.append` and `popleft`); making the same
objects again from bytes and the bytes from them by the fastest way in the standard library that does
not care what a queue must (`marshal`: no aliasing, no subclasses); our encoder and decoder; and one
`put` and `get` of a queue in one process. Nanoseconds, the least of several rounds.

    .venv/bin/python benchmarks/floors.py
"""

from __future__ import annotations

import marshal
import pickle
import sys
from collections import deque
from collections.abc import Callable
from itertools import repeat
from time import perf_counter_ns
from typing import Any

from conveyor import Queue
from conveyor._native import _decode, _encode
from conveyor.bench.payloads import PAYLOADS

ROUNDS, COUNT = 15, 5000


def calls(item: Any) -> Callable[[], None]:
    line: deque[Any] = deque()
    append, popleft = line.append, line.popleft

    def run() -> None:
        for _ in repeat(None, COUNT):
            append(item)
            popleft()

    return run


def there_and_back(dumps: Callable[[Any], Any], loads: Callable[[Any], Any], item: Any) -> Callable[[], None]:
    def run() -> None:
        for _ in repeat(None, COUNT):
            loads(dumps(item))

    return run


def through_a_queue(item: Any) -> Callable[[], None]:
    queue: Queue[Any] = Queue()
    put, get = queue.put, queue.get

    def run() -> None:
        for _ in repeat(None, COUNT):
            put(item)
            get()

    return run


def least(run: Callable[[], None]) -> float:
    run()
    times = []
    for _ in range(ROUNDS):
        began = perf_counter_ns()
        run()
        times.append(perf_counter_ns() - began)
    return min(times) / COUNT


def main() -> None:
    print(f"CPython {sys.version.split()[0]}; ns an item")
    print(f"{'':14}{'two calls':>11}{'marshal':>9}{'codec':>7}{'pickle':>8}{'put + get':>11}")
    for name in ("int", "tuple", "bytes40", "log", "dict1k"):
        item = PAYLOADS[name].make(1_000_003)
        row = (
            least(calls(item)),
            least(there_and_back(marshal.dumps, marshal.loads, item)),
            least(there_and_back(_encode, _decode, item)),
            least(there_and_back(lambda object_: pickle.dumps(object_, 5), pickle.loads, item)),
            least(through_a_queue(item)),
        )
        print(f"{PAYLOADS[name].title:14}{row[0]:11.0f}{row[1]:9.0f}{row[2]:7.0f}{row[3]:8.0f}{row[4]:11.0f}")


if __name__ == "__main__":
    main()
