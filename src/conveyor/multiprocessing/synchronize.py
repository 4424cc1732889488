"""`multiprocessing.synchronize`, with conveyor's classes: of these are the locks that the contexts make."""

from __future__ import annotations

from multiprocessing import synchronize as _stdlib

from ..barrier import Barrier
from ..condition import Condition
from ..event import Event
from ..locks import Lock, RLock
from ..semaphores import BoundedSemaphore, Semaphore
from ._forwarding import forward as _forward

__all__ = ["Barrier", "BoundedSemaphore", "Condition", "Event", "Lock", "RLock", "Semaphore"]

_forward(__name__, _stdlib)
