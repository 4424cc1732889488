"""SharedDict and SharedList beside `multiprocessing.Manager().dict()` and `.list()`, and other packages if installed.

Nanoseconds a call, medians of several rounds taken in turn, and how many times as fast as the manager. One process
calls; `contended` is while another process does the same. Others, if they are there: UltraDict, shared_memory_dict.

    .venv/bin/python benchmarks/shared_dict.py [--json] [--quick]
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import statistics
import sys
from collections.abc import Callable, Iterator
from itertools import repeat
from time import perf_counter_ns
from typing import Any

from conveyor import SharedDict, SharedList

ROUNDS = 3 if "--quick" in sys.argv else 7
KEYS = [f"key {number}" for number in range(1000)]
SMALL: Any = 12345
RECORD: Any = {"name": "a record", "values": [1.5, 2.5, 3.5], "ok": True}
CONTEXT = multiprocessing.get_context("fork")
# So that a round of each takes about a tenth of a second.
COUNTS = {"shared": 100_000, "manager": 2_000, "other": 2_000}


def get(shared: Any, count: int) -> None:
    for _ in repeat(None, count // 1000):
        for key in KEYS:
            shared[key]


def set_small(shared: Any, count: int) -> None:
    for _ in repeat(None, count // 1000):
        for key in KEYS:
            shared[key] = SMALL


def set_record(shared: Any, count: int) -> None:
    for _ in repeat(None, count // 1000):
        for key in KEYS:
            shared[key] = RECORD


def contains(shared: Any, count: int) -> None:
    for _ in repeat(None, count // 1000):
        for key in KEYS:
            key in shared  # noqa: B015


def append_and_pop(shared: Any, count: int) -> None:
    for _ in repeat(None, count // 2):
        shared.append(SMALL)
        shared.pop()


def index(shared: Any, count: int) -> None:
    for number in range(count):
        shared[number % 1000]


Work = Callable[[Any, int], None]
DICT: dict[str, Work] = {"get": get, "set": set_small, "set a record": set_record, "in": contains}
LIST: dict[str, Work] = {"l[i]": index, "append, pop": append_and_pop}


def others() -> dict[str, Callable[[], Any]]:
    found: dict[str, Callable[[], Any]] = {}
    with contextlib.suppress(ImportError):
        from UltraDict import UltraDict

        found["UltraDict"] = UltraDict
    with contextlib.suppress(ImportError):
        from shared_memory_dict import SharedMemoryDict

        found["shared_memory_dict"] = lambda: SharedMemoryDict(name="conveyor_benchmark", size=2**20)
    return found


def repeat_for_ever(work: Work, shared: Any) -> None:
    while True:
        work(shared, 1000)


@contextlib.contextmanager
def rivalled(work: Work, shared: Any, is_contended: bool) -> Iterator[None]:
    """While another process does the same."""
    if not is_contended:
        yield
        return
    other = CONTEXT.Process(target=repeat_for_ever, args=(work, shared))
    other.start()
    try:
        yield
    finally:
        other.kill()
        other.join()


def nanoseconds(work: Work, shared: Any, count: int) -> float:
    start = perf_counter_ns()
    work(shared, count)
    return (perf_counter_ns() - start) / count


def measure(work: Work, subjects: dict[str, Any], is_contended: bool = False) -> dict[str, float]:
    rounds: dict[str, list[float]] = {name: [] for name in subjects}
    for _ in range(ROUNDS):
        for name, shared in subjects.items():
            count = COUNTS["shared" if name == "conveyor" else "manager" if name == "manager" else "other"]
            with rivalled(work, shared, is_contended and name in ("conveyor", "manager")):
                rounds[name].append(nanoseconds(work, shared, count))
    return {name: statistics.median(figures) for name, figures in rounds.items()}


def main() -> None:
    rows: dict[str, dict[str, float]] = {}
    with CONTEXT.Manager() as manager:
        dicts: dict[str, Any] = {"conveyor": SharedDict(), "manager": manager.dict()}
        dicts.update({name: make() for name, make in others().items()})
        for shared in dicts.values():
            for key in KEYS:
                shared[key] = SMALL
        for name, work in DICT.items():
            rows[name] = measure(work, dicts)
        for name in ("get", "set"):
            rows[f"{name}, contended"] = measure(
                DICT[name], {n: dicts[n] for n in ("conveyor", "manager")}, True
            )
        lists = {"conveyor": SharedList(range(1000)), "manager": manager.list(range(1000))}
        for name, work in LIST.items():
            rows[name] = measure(work, lists)
    if "--json" in sys.argv:
        print(json.dumps(rows, indent=2))
        return
    names = list(dicts)
    print(f"{'ns a call':18}" + "".join(f"{name:>20}" for name in names) + f"{'x the manager':>16}")
    for row, figures in rows.items():
        cells = "".join(f"{figures[name]:20,.0f}" if name in figures else f"{'':20}" for name in names)
        print(f"{row:18}{cells}{figures['manager'] / figures['conveyor']:15.0f}x")


if __name__ == "__main__":
    main()
