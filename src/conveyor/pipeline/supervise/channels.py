"""Channels: what an engine and a worker process say to each other by."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, NamedTuple

from ..._memory.labels import fitted, mark
from ..._native import Segment
from ...queues.queue import Queue
from ..worker.status_page import StatusPage
from ..worker.worker_queue import WorkerQueue

__all__ = ["Channels", "closed_on_failure"]

# Results that may wait to be collected; a worker that makes more is held up. A larger one waits alone.
_RESULT_BYTES = 256 * 1024 * 1024


class Channels(NamedTuple):
    """Two queues and a page."""

    tasks: Queue[Any]
    """Where the worker's items come from."""
    results: Queue[Any]
    """Where its results go to."""
    status_page: StatusPage
    """Where it writes its figures."""

    @classmethod
    def make(cls, name: str) -> Channels:
        """New ones.

        Args:
            name: what `conveyor ls` calls them by, which shows what is in them.
        """
        tasks: Queue[Any] = WorkerQueue(label=fitted(f"{name}: items"))
        results = mark(
            Segment.create(0, _RESULT_BYTES, soft=True, counts_lent=True), fitted(f"{name}: results")
        )
        return cls(tasks, WorkerQueue.on_segment(results, "auto"), StatusPage())


@contextmanager
def closed_on_failure(status_page: StatusPage) -> Generator[None]:
    """If the block fails, nobody writes on it, and it is let go of."""
    try:
        yield
    except BaseException:
        status_page.close()
        raise
