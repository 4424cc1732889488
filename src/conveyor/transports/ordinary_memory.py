"""OrdinaryMemory: what `allocate` gives where a queue has no memory of its own."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from numpy.typing import DTypeLike, NDArray

__all__ = ["OrdinaryMemory"]


class OrdinaryMemory:
    """Arrays, tensors and bytes to be filled and put: ordinary ones, which `put` copies, unlike `conveyor.Queue`'s."""

    def allocate(self, shape: int | Sequence[int], dtype: DTypeLike = float) -> NDArray[Any]:
        """A NumPy array to fill and `put`: an ordinary one, which `put` copies, unlike `conveyor.Queue`'s."""
        import numpy

        array: NDArray[Any] = numpy.empty(shape, dtype)
        if array.dtype.hasobject:
            raise TypeError(f"dtype is {dtype!r}; it must be one without Python objects")
        return array

    def allocate_tensor(self, shape: int | Sequence[int], dtype: torch.dtype | None = None) -> torch.Tensor:
        """The same as a tensor of torch's."""
        from .._memory.tensors import empty

        tensor: torch.Tensor = empty(lambda size: None, shape, dtype)
        return tensor

    def allocate_bytes(self, size: int) -> memoryview:
        """The same as plain bytes, writable."""
        size = operator.index(size)
        if size < 0:
            raise ValueError(f"size is {size}; it must be at least 0")
        return memoryview(bytearray(size))
