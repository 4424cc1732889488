"""`multiprocessing.queues`, with conveyor's classes."""

from __future__ import annotations

from multiprocessing import queues as _stdlib

from ..errors import Empty, Full
from ..queues.joinable_queue import JoinableQueue
from ..queues.queue import Queue
from ..queues.simple_queue import SimpleQueue
from ._forwarding import forward as _forward

__all__ = ["Empty", "Full", "JoinableQueue", "Queue", "SimpleQueue"]

_forward(__name__, _stdlib)
