"""weigh: about how much memory values take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["weigh"]

_SAMPLE = 16
_UNKNOWN = 32  # bytes that something of unknown size counts for
_SIZED = frozenset((str, bytes, bytearray))
_SMALL = frozenset((int, float, bool, complex, type(None)))


def weigh(values: Sequence[Any]) -> int:
    """About how many bytes of content these values hold, judged by a few of them; for bounds, not for accounts."""
    count = len(values)
    if count <= _SAMPLE:
        return sum(map(_weigh_one, values))
    step = count // _SAMPLE
    sample = values[::step]
    return sum(map(_weigh_one, sample)) * count // len(sample)


def _weigh_one(value: Any) -> int:
    try:
        return _weight(value)
    except Exception:  # `nbytes` of a file that is closed, or a list that another thread empties just now
        return _UNKNOWN


def _weight(value: Any, depth: int = 2) -> int:
    kind: type[Any] = type(value)  # pyright: ignore[reportUnknownVariableType]
    if kind in _SMALL:
        return 32
    if kind in _SIZED or isinstance(value, (str, bytes, bytearray)):
        return 32 + len(value)
    size = getattr(value, "nbytes", None)
    if isinstance(size, int):
        return 64 + size
    if depth and isinstance(value, (list, tuple, dict)) and value:
        some = list(value.values() if isinstance(value, dict) else value)[:_SAMPLE]  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
        return 64 + sum(_weight(one, depth - 1) for one in some) * len(value) // len(some)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    return _UNKNOWN
