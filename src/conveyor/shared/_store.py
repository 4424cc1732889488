"""What shared dicts and lists have in common: how they get their memory, and how changes are waited for."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar, cast

from .._memory.labels import mark
from .._memory.open_or_create import open_or_create
from .._native import DictTable, ListSequence, Region, region_size
from ..errors import OutOfMemory

__all__ = ["checked_bound", "open_region", "wait_for"]

Store = TypeVar("Store", bound="DictTable[Any, Any] | ListSequence[Any]")

_LAYOUT = 1
_LEAST = 16 * 2**20


def checked_bound(max_bytes: int | None) -> int:
    """`max_bytes` as the core takes it, where 0 is no bound.

    Raises:
        TypeError, ValueError: it is no integer above 0, nor None.
    """
    if max_bytes is None:
        return 0
    if not hasattr(max_bytes, "__index__"):
        raise TypeError(f"max_bytes is {max_bytes!r}; it must be an integer, or None for no bound")
    if max_bytes <= 0:
        raise ValueError(f"max_bytes is {max_bytes}; it must be at least 1, or None for no bound")
    return min(int(max_bytes), 2**62)


def open_region(kind: str, name: str | None, create: bool | None, label: str = "") -> tuple[Region, bool]:
    """The region, and whether it was made now."""
    if name is None:
        if create is False:
            raise ValueError("create is False, which needs a name: what has none is always made anew")
        return _make(kind, None, label), True
    from ..transports.shm import checked_name

    if not isinstance(cast(object, name), str):
        raise TypeError(f"name is {name!r}; it must be a str, or None")
    name = checked_name(name)
    return open_or_create(
        create, lambda: Region.open_named(name, kind, _LAYOUT), lambda: _make(kind, name, label)
    )


def wait_for(store: Store, predicate: Callable[[Store], Any], timeout: float | None) -> Any:
    """What `predicate(store)` gives, as soon as that is true, or at the latest after `timeout` seconds."""
    deadline = None if timeout is None else time.monotonic() + timeout
    while True:
        version = store._figures()[1]
        result = predicate(store)
        left = None if deadline is None else max(deadline - time.monotonic(), 0)
        if result or not store._wait_changed(version, left):
            return result


def _make(kind: str, name: str | None, label: str) -> Region:
    # Little address space left (very many of them, a limit): a smaller one will do.
    size = region_size()
    while True:
        try:
            if name is None:
                return mark(Region.create(kind, size, _LAYOUT), label)
            return mark(Region.create_named(name, kind, size, _LAYOUT), label)
        except OutOfMemory:
            if size <= _LEAST:
                raise
            size //= 4
