"""py-sharedmemory: a block of shared memory for each message, acknowledged through a second queue.

One process may produce. It keeps eight blocks for reuse, and with more in flight it maps and frees
a block for each message.
"""

from __future__ import annotations

import multiprocessing
from queue import Empty
from typing import Any

from conveyor.bench.optional import optional
from conveyor.bench.rivals.base import Channel, Receiver, Rival, Sender, Shape

__all__ = ["PySharedMemory"]

_PATIENCE = 20.0
"""Seconds to wait for the last acknowledgements."""


class _Sender(Sender):
    def __init__(self, end: Any) -> None:
        super().__init__(end.put)
        self.end = end

    def close(self) -> None:
        self.end.wait_for_all_ack(timeout=_PATIENCE)
        self.end.close()


class _Receiver(Receiver):
    def __init__(self, end: Any) -> None:
        super().__init__(end.get)
        self.end = end

    def close(self) -> None:
        self.end.close()


class _Channel(Channel):
    def __init__(self, pair: tuple[Any, Any]) -> None:
        self.putting, self.getting = pair

    def sender(self, index: int) -> Sender:
        return _Sender(self.putting)

    def receiver(self, index: int) -> Receiver:
        return _Receiver(self.getting)

    def left_over(self) -> bool:
        try:
            self.getting.get_nowait()
        except Empty:
            return False
        except OSError:  # a message whose block went with its producer
            return True
        return True

    def close(self) -> None:
        self.putting.close()
        self.getting.close()


class PySharedMemory(Rival):
    """`put` of the one end, `get` of the other."""

    name = "py-sharedmemory"
    title = "py-sharedmemory"
    distribution = "py-sharedmemory"
    one_producer = True

    def takes_bound(self, items: int) -> bool:
        return True

    def load(self) -> None:
        optional("py_sharedmemory")

    def open(self, shape: Shape) -> Channel:
        make = optional("py_sharedmemory").create_shared_memory_pair
        return _Channel(make(shape.bound, ctx=multiprocessing.get_context("fork")))
