"""weigh: about how much memory values take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["weigh"]

_SAMPLE = 16
_SIZED = frozenset((str, bytes, bytearray))
_SMALL = frozenset((int, float, bool, complex, type(None)))


def weigh(values: Sequence[Any]) -> int:
    """About how many bytes of content these values hold, judged by a few of them; for bounds, not for accounts."""
    count = len(values)
    if count <= _SAMPLE:
        return sum(map(_weight, values))
    step = count // _SAMPLE
    sample = values[::step]
    return sum(map(_weight, sample)) * count // len(sample)


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
    return 32
