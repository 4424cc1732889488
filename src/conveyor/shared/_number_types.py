"""Which numbers can be shared: type codes, ctypes types, NumPy dtypes and Python types, as letters of `struct`."""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["code_of"]

_CODES = "?bBhHiIlLqQfd"
_PYTHON: dict[Any, str] = {bool: "?", int: "q", float: "d"}
_SIZES = {"i": "_bhiq", "u": "_BHIQ"}


def code_of(kind: Any) -> str:
    """The letter for a type of numbers.

    Args:
        kind: a type code (of `array` and `struct`), a ctypes type, a NumPy dtype, or bool, int (64 bits) or float.

    Raises:
        TypeError: no such number can be shared.
    """
    if isinstance(kind, str) and len(kind) == 1 and kind in _CODES:
        return kind
    try:
        if kind in _PYTHON:
            return _PYTHON[kind]
    except TypeError:
        pass  # not hashable
    code = getattr(kind, "_type_", None)  # ctypes
    if isinstance(code, str) and code in _CODES:
        return code
    numpy: Any = sys.modules.get("numpy")
    if numpy is not None:
        found = _numpy_code(numpy, kind)
        if found is not None:
            return found
    raise TypeError(
        f"no number of type {kind!r} can be shared; it must be one of the type codes {' '.join(_CODES)}, a ctypes "
        "type or NumPy dtype that is such a number, or bool, int or float"
    )


def _numpy_code(numpy: Any, kind: Any) -> str | None:
    try:
        dtype: Any = numpy.dtype(kind)
    except TypeError:
        return None
    if not dtype.isnative or dtype.subdtype is not None:
        return None
    if dtype.kind == "b":
        return "?"
    if dtype.kind == "f":
        return {4: "f", 8: "d"}.get(dtype.itemsize)
    if dtype.kind in _SIZES:
        return _SIZES[dtype.kind][dtype.itemsize.bit_length()]
    return None
