"""Producers and consumers of a stream that ends by itself; children import this module."""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

from conveyor import ProducerLost, ShutDown


def produce(queue: Any, number: int, count: int) -> None:
    with queue.producing():
        for i in range(count):
            queue.put((number, i, b"x" * (20_000 if i % 50 == 0 else i % 30)))


def collect(queue: Any, told: Any, batch: int = 1) -> None:
    """Take until the end; tell what came, and how it ended."""
    counts: Counter[int] = Counter()
    try:
        if batch == 1:
            for number, _, _ in queue:
                counts[number] += 1
        while batch > 1:
            counts.update(number for number, _, _ in queue.get_many(batch))
    except ShutDown:
        told.put((os.getpid(), counts, None))
    except ProducerLost as lost:
        told.put((os.getpid(), counts, lost))
    else:
        told.put((os.getpid(), counts, None))
