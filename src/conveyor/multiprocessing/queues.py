"""`multiprocessing.queues`, with conveyor's classes."""

from __future__ import annotations

from multiprocessing import queues as _stdlib
from typing import Any

from ..errors import Empty, Full
from ..joinable_queue import JoinableQueue
from ..queue import Queue
from ..simple_queue import SimpleQueue

__all__ = ["Empty", "Full", "JoinableQueue", "Queue", "SimpleQueue"]


def __getattr__(name: str) -> Any:
    return getattr(_stdlib, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *dir(_stdlib)})
