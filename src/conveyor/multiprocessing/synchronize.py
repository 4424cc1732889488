"""`multiprocessing.synchronize`, with conveyor's classes: of these are the locks that the contexts make."""

from __future__ import annotations

from multiprocessing import synchronize as _stdlib

from ..shared.barrier import Barrier
from ..shared.condition import Condition
from ..shared.event import Event
from ..shared.locks import Lock, RLock
from ..shared.semaphores import BoundedSemaphore, Semaphore
from ._forwarding import forward as _forward

__all__ = ["Barrier", "BoundedSemaphore", "Condition", "Event", "Lock", "RLock", "Semaphore"]

_forward(__name__, _stdlib)
