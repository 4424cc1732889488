"""How JAX's arrays become pickles whose bytes go beside them, where they stay when they arrive on the processor.

What an array is, is as JAX's own pickling has it: its values, on the device that new arrays are put on. By DLPack an
array gives its memory back with its last user; JAX would release a NumPy array when it is called the next time.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pickle import PickleBuffer
from typing import Any

import numpy

from .._native import tensor_capsule

__all__ = ["reducer_of"]

# Any: type checkers pass over this file where JAX is not installed, too.
_jax: Any = importlib.import_module("jax")
_from_dlpack: Any = importlib.import_module("jax.dlpack").from_dlpack

_INT, _UINT, _FLOAT, _BFLOAT, _COMPLEX, _BOOL = 0, 1, 2, 4, 5, 6
# DLPack's codes and bits. Types of less than a byte are for JAX's own pickling.
_CODES: dict[str, tuple[int, int]] = {
    "float16": (_FLOAT, 16),
    "float32": (_FLOAT, 32),
    "float64": (_FLOAT, 64),
    "bfloat16": (_BFLOAT, 16),
    "complex64": (_COMPLEX, 64),
    "complex128": (_COMPLEX, 128),
    "bool": (_BOOL, 8),
    "int8": (_INT, 8),
    "int16": (_INT, 16),
    "int32": (_INT, 32),
    "int64": (_INT, 64),
    "uint8": (_UINT, 8),
    "uint16": (_UINT, 16),
    "uint32": (_UINT, 32),
    "uint64": (_UINT, 64),
}
# DLPack has codes for these, which older releases of JAX do not know.
_BYTES = frozenset(
    {
        "float8_e3m4",
        "float8_e4m3",
        "float8_e4m3b11fnuz",
        "float8_e4m3fn",
        "float8_e4m3fnuz",
        "float8_e5m2",
        "float8_e5m2fnuz",
        "float8_e8m0fnu",
    }
)


def reducer_of(kind: type) -> Callable[[Any], Any] | None:
    """The reducer for JAX's arrays; None: that is another type of jaxlib's."""
    return _reduce if issubclass(kind, _jax.Array) else None


def _reduce(array: Any) -> Any:
    name = array.dtype.name
    if array.weak_type or not array.size or not (name in _CODES or name in _BYTES):
        return array.__reduce__()
    value: Any = numpy.asarray(array)  # on the processor without a copy
    if not value.flags.c_contiguous:
        value = value.copy("C")
    # Most of these types have no buffer protocol; their bytes do.
    return _array_of, (PickleBuffer(value.reshape(-1).view(numpy.uint8)), name, value.shape)


class _Capsule:
    """A tensor, for whom asks by DLPack's protocol."""

    __slots__ = ("_capsule",)

    def __init__(self, capsule: object) -> None:
        self._capsule = capsule

    def __dlpack__(self, **_options: Any) -> object:
        return self._capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0


def _array_of(buffer: Any, name: str, shape: tuple[int, ...]) -> Any:
    code = _CODES.get(name)
    devices = _jax.devices()
    # What comes by DLPack is committed to its device, which makes a difference where there are others.
    if code is not None and len(devices) == 1 and devices[0].platform == "cpu":
        try:
            return _from_dlpack(_Capsule(tensor_capsule(buffer, 0, *code, shape, None)))
        except BufferError:
            pass  # an event's, which its other subscribers have, too
    # JAX copies what is small or not on an address that it likes, and keeps the rest.
    return _jax.device_put(numpy.frombuffer(buffer, _jax.numpy.dtype(name)).reshape(shape))
