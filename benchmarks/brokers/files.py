"""Queues in files: 2 producers and 2 consumers in processes of their own, under lease where there are leases."""

from __future__ import annotations

import base64
import multiprocessing
import tempfile
import threading
import time
from collections.abc import Callable
from itertools import repeat
from time import perf_counter
from typing import Any, NamedTuple

from .side import BODY

__all__ = ["RIVALS", "run"]

_TEXT = base64.b64encode(BODY).decode()  # for those that take text alone
_IDLE = 0.0005  # seconds until one that cannot wait looks again


class Rival(NamedTuple):
    open: Callable[[str], Any]
    put: Callable[[Any], None]
    take: Callable[[Any], None]
    """Take one, and acknowledge it."""
    threads: bool = False
    """It knows of no other processes: threads of one."""


def _conveyor(folder: str) -> Any:
    import conveyor

    return conveyor.connect(f"sqlite:///{folder}/queue.db?sync=normal")


def _conveyor_take(queue: Any) -> None:
    with queue.lease():
        pass


def _persist(folder: str) -> Any:
    from persistqueue import SQLiteAckQueue

    return SQLiteAckQueue(folder, multithreading=True)


def _persist_take(queue: Any) -> None:
    queue.ack(queue.get())


def _local(folder: str) -> Any:
    from localqueue import SimpleQueue

    return SimpleQueue(folder)


def _local_take(queue: Any) -> None:
    queue.ack(queue.get())


def _lite(folder: str) -> Any:
    from litequeue import LiteQueue

    return LiteQueue(f"{folder}/queue.db")


def _lite_take(queue: Any) -> None:
    while (message := queue.pop()) is None:
        time.sleep(_IDLE)
    queue.done(message.message_id)


def _huey(folder: str) -> Any:
    from huey.storage import SqliteStorage

    return SqliteStorage(filename=f"{folder}/queue.db", timeout=60)


def _huey_take(queue: Any) -> None:
    while queue.dequeue() is None:
        time.sleep(_IDLE)


RIVALS = {
    "conveyor": Rival(_conveyor, lambda queue: queue.put(BODY), _conveyor_take),
    "persist-queue": Rival(_persist, lambda queue: queue.put(BODY), _persist_take, threads=True),
    "localqueue": Rival(_local, lambda queue: queue.put(_TEXT), _local_take),
    "litequeue": Rival(_lite, lambda queue: queue.put(_TEXT), _lite_take),
    "huey": Rival(_huey, lambda queue: queue.enqueue(BODY), _huey_take),
}


def _produce(queue: Any, rival: Rival, count: int) -> list[float]:
    times: list[float] = []
    for _ in repeat(None, count):
        begun = perf_counter()
        rival.put(queue)
        times.append(perf_counter() - begun)
    return times


def _consume(queue: Any, rival: Rival, count: int) -> list[float]:
    for _ in repeat(None, count):
        rival.take(queue)
    return []


def _part(name: str, folder: str, work: Any, count: int, start: Any, results: Any) -> None:
    rival = RIVALS[name]
    queue = rival.open(folder)
    start.wait()
    times = work(queue, rival, count)
    results.put((time.monotonic(), times))


def run(name: str, count: int) -> tuple[float, list[float]]:
    """Have each producer put, and each consumer take, so many; items a second, and the seconds of each put."""
    rival = RIVALS[name]
    context: Any = multiprocessing.get_context("fork")
    parts = 4
    with tempfile.TemporaryDirectory() as folder:
        shared = rival.open(folder)  # what makes the file is not measured; and ImportError is seen here
        if rival.threads:
            start: Any = threading.Barrier(parts + 1)
            found: list[tuple[float, list[float]]] = []

            def part(work: Any) -> None:
                start.wait()
                times = work(shared, rival, count)
                found.append((time.monotonic(), times))

            workers: list[Any] = [
                threading.Thread(target=part, args=(work,)) for work in (_produce, _consume) * 2
            ]
        else:
            start, results = context.Barrier(parts + 1), context.SimpleQueue()
            workers = [
                context.Process(target=_part, args=(name, folder, work, count, start, results))
                for work in (_produce, _consume) * 2
            ]
        for worker in workers:
            worker.start()
        start.wait()
        begun = time.monotonic()
        if not rival.threads:
            found = [results.get() for _ in workers]
        for worker in workers:
            worker.join()
        if hasattr(shared, "close"):
            shared.close()
    seconds = max(ended for ended, _ in found) - begun
    return 2 * count / seconds, [each for _, times in found for each in times]
