"""What a process that ends must still tell the server: what it has taken for good."""

from __future__ import annotations

import os
import weakref
from multiprocessing import util
from typing import Protocol

__all__ = ["leave_behind"]


class _Flushed(Protocol):
    def flush(self) -> None: ...


_queues: weakref.WeakSet[_Flushed] = weakref.WeakSet()
_registered = 0


def _flush_all() -> None:
    for queue in list(_queues):
        queue.flush()


def leave_behind(queue: _Flushed) -> None:
    """See to it that `queue.flush()` is called when this process ends, also if multiprocessing has started it."""
    global _registered
    _queues.add(queue)
    if _registered != os.getpid():  # a child begins without its parent's last calls
        _registered = os.getpid()
        util.Finalize(None, _flush_all, exitpriority=20)
