"""The block in which a process counts as a producer."""

from __future__ import annotations

import os
import sys
import threading
import weakref
from contextvars import ContextVar
from typing import Any, Generic, Protocol, TypeVar

__all__ = ["Producing"]


class _Produced(Protocol):
    """A queue or a topic."""

    @property
    def _identity(self) -> tuple[int, int]: ...
    def _enter_producing(self, counts: bool) -> None: ...
    def _leave_producing(self) -> None: ...


Q = TypeVar("Q", bound=_Produced)

_Key = tuple[int, tuple[int, int], Any]
_NONE: frozenset[_Key] = frozenset()

# The queues and topics that this thread, or asyncio task, produces for. With the pid: a fork inherits the variable,
# and is a producer of its own. With who entered: a task, and what runs in `asyncio.to_thread`, inherit it, too.
_inside: ContextVar[frozenset[_Key]] = ContextVar("conveyor_producing", default=_NONE)


def _who() -> Any:
    """The asyncio task that runs, or the thread."""
    asyncio = sys.modules.get("asyncio")
    if asyncio is not None:
        try:
            return weakref.ref(asyncio.current_task())
        except (RuntimeError, TypeError):  # no loop runs here, or it calls something that is no task
            pass
    return threading.get_ident()


class Producing(Generic[Q]):
    """What `producing()` of a queue or topic returns: use it in a `with` statement, once. The block's value is that."""

    __slots__ = ("_counts", "_key", "_queue")

    def __init__(self, queue: Q) -> None:
        self._queue = queue
        self._key: _Key | None = None
        self._counts = False

    def __enter__(self) -> Q:
        if self._key is not None:
            raise RuntimeError("this producing() block was entered already; call producing() for each")
        key = (os.getpid(), self._queue._identity, _who())  # pyright: ignore[reportPrivateUsage]
        inside = _inside.get()
        # A block within another of the same thread is not one more of those that were expected.
        self._counts = key not in inside
        self._queue._enter_producing(self._counts)  # pyright: ignore[reportPrivateUsage]
        self._key = key
        if self._counts:
            _inside.set(inside | {key})
        return self._queue

    def __exit__(self, *_: object) -> None:
        key = self._key
        if key is None or key[0] != os.getpid():
            return  # forked inside the block: it is the parent's
        self._key = None
        if self._counts:
            _inside.set(_inside.get() - {key})
        self._queue._leave_producing()  # pyright: ignore[reportPrivateUsage]
