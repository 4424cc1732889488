"""Arrays in memory that somebody gives, and their shapes."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy
    from numpy.typing import DTypeLike

__all__ = ["array_in", "extents_of"]


def array_in(
    memory: Callable[[int], Any], shape: int | Sequence[int], dtype: DTypeLike
) -> numpy.ndarray[Any, Any]:
    """An array of arbitrary content.

    Args:
        memory: returns so many bytes, writable; or None: let it lie anywhere.
        shape: its dimensions.
        dtype: its type.

    Raises:
        TypeError: the shape is no integer or sequence of integers, or the type has Python objects.
        ValueError: a dimension is negative.
        ImportError: NumPy is not installed.
    """
    import numpy

    checked = numpy.dtype(dtype)
    if checked.hasobject:
        raise TypeError(
            f"dtype is {checked!r}; it must have no Python objects, which cannot lie in shared memory"
        )
    extents = extents_of(shape)
    return numpy.ndarray(extents, checked, memory(math.prod(extents) * checked.itemsize))


def extents_of(shape: int | Sequence[int]) -> tuple[int, ...]:
    """A shape as a tuple.

    Raises:
        TypeError: it is no integer or sequence of integers.
        ValueError: a dimension is negative.
    """
    # The usual ones first: to ask whether something is iterable takes longer than all the rest.
    if type(shape) is int:
        extents: tuple[int, ...] = (shape,)
    elif isinstance(shape, Iterable):
        extents = tuple(map(operator.index, shape))
    else:
        extents = (operator.index(shape),)
    if extents and min(extents) < 0:
        raise ValueError(f"shape is {shape!r}; no dimension may be negative")
    return extents
