"""Event: something that has happened or has not, and can be waited for, between processes."""

from __future__ import annotations

from typing import Any

from .._memory.references import forget_received
from .._native import EventBase
from .._public import public
from ._cell import CellHandle

__all__ = ["Event"]


@public
class Event(CellHandle, EventBase):
    """A flag that processes set, clear and wait for, with the methods of `multiprocessing.Event`."""

    def __init__(self, *, ctx: Any = None) -> None:
        """A new event, not set.

        Args:
            ctx: taken so that a `multiprocessing` context can make one.

        Raises:
            OutOfMemory: no memory for it.
        """
        forget_received()
        EventBase.__init__(self)

    def __repr__(self) -> str:
        return f"<{type(self).__qualname__} at {id(self):#x} {'set' if self.is_set() else 'unset'}>"
