"""How a shared dict or list gets its memory, by name or without."""

from __future__ import annotations

from typing import cast

from ._native import Region, region_size
from .errors import OutOfMemory

__all__ = ["checked_bound", "open_region"]

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


def open_region(kind: str, name: str | None, create: bool | None) -> tuple[Region, bool]:
    """The region, and whether it was made now."""
    if name is None:
        if create is False:
            raise ValueError("create is False, which needs a name: what has none is always made anew")
        return _make(kind, None), True
    from .transports.shm import checked_name

    if not isinstance(cast(object, name), str):
        raise TypeError(f"name is {name!r}; it must be a str, or None")
    name = checked_name(name)
    if create:
        return _make(kind, name), True
    while True:
        try:
            return Region.open_named(name, kind, _LAYOUT), False
        except FileNotFoundError:
            if create is False:
                raise
        try:
            return _make(kind, name), True
        except FileExistsError:
            continue  # somebody else made it in between


def _make(kind: str, name: str | None) -> Region:
    # Little address space left (very many of them, a limit): a smaller one will do.
    size = region_size()
    while True:
        try:
            if name is None:
                return Region.create(kind, size, _LAYOUT)
            return Region.create_named(name, kind, size, _LAYOUT)
        except OutOfMemory:
            if size <= _LEAST:
                raise
            size //= 4
