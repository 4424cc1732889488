"""Many items wait: who takes from them is not given more to keep than it can use."""

from __future__ import annotations

import multiprocessing
import os
from typing import Any

import programs
import pytest

import conveyor

WAITING = int(os.environ.get("CONVEYOR_WAITING", "20000"))
BODY = b"x" * 1000
MOST = 8 * 2**20
"""Bytes by which a consumer may grow: what lies ready for it, and what its client keeps. Less than all that waits."""


@pytest.mark.needs("processes")
@pytest.mark.timeout(120 + WAITING // 500)
def test_a_consumers_memory_stays_flat(url: str) -> None:
    """CONVEYOR_WAITING: how many items wait; a million takes a transport up to ten minutes."""
    queue = conveyor.connect(url)
    for start in range(0, WAITING, 1000):
        queue.put_many([BODY] * min(1000, WAITING - start))
    context = multiprocessing.get_context("spawn")
    told: Any = conveyor.Queue()
    consumer = context.Process(target=programs.take_and_weigh, args=(url, told))
    consumer.start()
    grown = told.get(timeout=120)
    consumer.join(60)
    consumer.close()
    queue.close()
    assert grown < MOST
