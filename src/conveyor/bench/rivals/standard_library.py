"""multiprocessing.Queue and multiprocessing.SimpleQueue: what conveyor replaces."""

from __future__ import annotations

import multiprocessing
from typing import Any

from conveyor.bench.rivals.base import Channel, Receiver, Rival, Sender, Shape

__all__ = ["QueueChannel", "StandardQueue", "StandardSimpleQueue"]


class QueueChannel(Channel):
    """Anything with the `put`, `get` and `empty` of multiprocessing's queues."""

    def __init__(self, queue: Any) -> None:
        self.queue = queue

    def sender(self, index: int) -> Sender:
        return Sender(self.queue.put)

    def receiver(self, index: int) -> Receiver:
        return Receiver(self.queue.get)

    def left_over(self) -> bool:
        return not self.queue.empty()

    def close(self) -> None:
        self.queue.close()


class StandardQueue(Rival):
    """The yardstick: every ratio is to this one."""

    name = "multiprocessing"
    title = "multiprocessing.Queue"

    def load(self) -> None:
        """Always there."""

    def takes_bound(self, items: int) -> bool:
        return True

    def open(self, shape: Shape) -> Channel:
        return QueueChannel(multiprocessing.get_context("fork").Queue(shape.bound))


class StandardSimpleQueue(Rival):
    """A pipe and two locks, no thread; bounded by the pipe alone (64 KiB)."""

    name = "simplequeue"
    title = "multiprocessing.SimpleQueue"

    def load(self) -> None:
        """Always there."""

    def open(self, shape: Shape) -> Channel:
        return QueueChannel(multiprocessing.get_context("fork").SimpleQueue())
