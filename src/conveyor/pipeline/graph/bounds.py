"""max_in_flight: how much a stage may hold, in items or bytes, if somebody says so."""

from __future__ import annotations

from ..base.byte_size import bytes_of
from . import checks

__all__ = ["bounds_of", "check_bound"]


def check_bound(stage: str, word: str, value: object) -> None:
    """A number of items, or a text with a size.

    Raises:
        TypeError, PipelineError: it is neither, or too small.
    """
    if isinstance(value, str):
        bytes_of(value, f"{word} of {stage}")
    else:
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
        return most_items, bytes_of(value)
    return value, most_bytes
