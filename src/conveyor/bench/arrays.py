"""NumPy arrays as items: filled with noise, told apart by a few marked elements.

Reading an array of 8 MiB whole costs as much as carrying it. So what arrives in the timed phase is
judged by its marks (first, last, two between) alone, for every rival alike; whole arrays are
compared before. NumPy is imported when the first array is made: conveyor does not need it.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from conveyor.bench.optional import optional

__all__ = ["ITEM_BYTES", "make_array", "marks", "positions", "same_array", "tag_of"]

ITEM_BYTES = 8
"""Bytes of an element: all arrays are of float64."""


@cache
def positions(length: int) -> tuple[int, int, int, int]:
    """Where an array of so many elements is marked."""
    return 0, length // 3, 2 * length // 3, length - 1


@cache
def _noise(length: int) -> Any:
    """The same in every process and every run."""
    return optional("numpy").random.default_rng(length).random(length)


def make_array(tag: int, length: int) -> Any:
    """A one-dimensional array of its own, marked with the tag."""
    array = _noise(length).copy()
    for number, position in enumerate(positions(length)):
        array[position] = tag + number * 0.25
    return array


def marks(array: Any) -> tuple[float, ...]:
    """The marked elements."""
    item = array.item
    first, second, third, last = positions(array.size)
    return item(first), item(second), item(third), item(last)


def tag_of(array: Any) -> int:
    """The tag that the array was made with, as far as its first element tells."""
    return int(array.item(0))


def same_array(one: Any, other: Any) -> bool:
    """Whether two are equal in type, shape and every element."""
    numpy = optional("numpy")
    if not isinstance(one, numpy.ndarray) or not isinstance(other, numpy.ndarray):
        return False
    return bool(one.dtype == other.dtype and numpy.array_equal(one, other))
