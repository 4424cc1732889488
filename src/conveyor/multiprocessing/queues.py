"""`multiprocessing.queues`, with conveyor's classes."""

from __future__ import annotations

from multiprocessing import queues as _stdlib

from ..errors import Empty, Full
from ..joinable_queue import JoinableQueue
from ..queue import Queue
from ..simple_queue import SimpleQueue
from ._forwarding import forward as _forward

__all__ = ["Empty", "Full", "JoinableQueue", "Queue", "SimpleQueue"]

_forward(__name__, _stdlib)
