"""Descriptors that `multiprocessing` serves: of its connections, of sockets, and of ours where it can serve them.

It keeps a copy of each until somebody asks for it. Who gets an item asks; for an item that is not put nobody would.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from multiprocessing import resource_sharer
from typing import Any

from .._native import unless_put

__all__ = ["reducer_of"]


def reducer_of(kind: type) -> Callable[[Any], Any] | None:
    """The reducer for such descriptors; None: that is another type."""
    return _reduce if kind is getattr(resource_sharer, "DupFd", None) else None


def _reduce(descriptor: Any) -> Any:
    unless_put(partial(_close, descriptor))
    return object.__reduce_ex__(descriptor, 5)


def _close(descriptor: Any) -> None:
    # As the thread that serves them does, of which there is no word in public for this.
    served: dict[int, tuple[Any, Callable[[], object]]] = getattr(
        getattr(resource_sharer, "_resource_sharer", None), "_cache", {}
    )
    _address, number = descriptor._id
    if (found := served.pop(number, None)) is not None:
        _send, close = found
        close()
