"""max_in_flight: how much a stage may hold, in items or bytes, if somebody says so."""

from __future__ import annotations

import re

from ...errors import PipelineError
from . import checks

__all__ = ["bounds_of", "check_bound"]

_UNITS = {"b": 1, "k": 1000, "m": 1000**2, "g": 1000**3, "ki": 1024, "mi": 1024**2, "gi": 1024**3}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmg]i?)?b", re.IGNORECASE)


def check_bound(stage: str, word: str, value: object) -> None:
    """A number of items, or a size.

    Raises:
        TypeError, PipelineError: it is neither, or too small.
    """
    if isinstance(value, str):
        if not _bytes(value):
            raise PipelineError(
                f'{word} of {stage} is {value!r}; it must be a number of items, or bytes as in "64MB" or "1GiB"'
            )
        return
    checks.check_count(stage, word, value, 1)


def bounds_of(value: int | str | None, most_items: int, most_bytes: int) -> tuple[int, int]:
    """Items and bytes that a stage may hold.

    Args:
        value: as checked; None: nothing was said.
        most_items, most_bytes: what a stage may hold of which nothing was said.
    """
    if value is None:
        return most_items, most_bytes
    if isinstance(value, str):
        return most_items, _bytes(value)
    return value, most_bytes


def _bytes(text: str) -> int:
    found = _SIZE.fullmatch(text.strip())
    return int(float(found[1]) * _UNITS[(found[2] or "b").lower()]) if found else 0
