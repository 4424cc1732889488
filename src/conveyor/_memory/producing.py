"""The block in which a process counts as a producer."""

from __future__ import annotations

import os
import sys
import threading
import weakref
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar

from .._native import enter_producing, leave_producing

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

    # The queues and topics that this thread, or asyncio task, produces for. With the pid: a fork inherits the variable,
    # and is a producer of its own. With who entered: a task, and what runs in `asyncio.to_thread`, inherit it, too.
    _inside: ClassVar[ContextVar[frozenset[_Key]]] = ContextVar("conveyor_producing", default=_NONE)

    def __init__(self, queue: Q) -> None:
        self._queue = queue
        self._key: _Key | None = None
        self._counts = False

    def _to_enter(self) -> tuple[_Key, bool, frozenset[_Key]]:
        if self._key is not None:
            raise RuntimeError("this producing() block was entered already; call producing() for each")
        key = (os.getpid(), self._queue._identity, _who())  # pyright: ignore[reportPrivateUsage]
        inside = self._inside.get()
        # A block within another of the same thread is not one more of those that were expected.
        return key, key not in inside, inside | {key}

    if TYPE_CHECKING:

        def __enter__(self) -> Q: ...
        def __exit__(self, *_: object) -> None: ...

    else:
        __enter__ = enter_producing
        __exit__ = leave_producing
