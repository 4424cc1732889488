"""WorkerQueue: what lies between an engine and one of its workers; no queue of the user's."""

from __future__ import annotations

from typing import TypeVar

from ...queues.queue import Queue

__all__ = ["WorkerQueue"]

T = TypeVar("T")


class WorkerQueue(Queue[T]):
    """A queue that carries messages of a pipeline: those who trace what users put and get leave it alone."""
