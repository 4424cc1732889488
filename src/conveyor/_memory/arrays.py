"""The shape of an array that is to lie in a queue's memory."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy
    from numpy.typing import DTypeLike

__all__ = ["Form"]


class Form:
    """A checked shape and type.

    Raises:
        TypeError: the shape is no integer or sequence of integers, or the type has Python objects.
        ValueError: a dimension is negative.
        ImportError: NumPy is not installed.
    """

    def __init__(self, shape: int | Sequence[int], dtype: DTypeLike) -> None:
        import numpy

        self._dtype = numpy.dtype(dtype)
        if self._dtype.hasobject:
            raise TypeError(
                f"dtype is {self._dtype!r}; it must have no Python objects, which cannot lie in shared memory"
            )
        self._shape = tuple(
            operator.index(each) for each in (shape if isinstance(shape, Iterable) else (shape,))
        )
        if any(each < 0 for each in self._shape):
            raise ValueError(f"shape is {shape!r}; no dimension may be negative")
        self.nbytes = math.prod(self._shape) * self._dtype.itemsize

    def on(self, memory: Any) -> numpy.ndarray[Any, Any]:
        """The array in these bytes, which must be `nbytes` long."""
        import numpy

        return numpy.ndarray(self._shape, self._dtype, memory)
