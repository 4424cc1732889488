"""The values of plain data that only Python code can take apart: NumPy's arrays and scalars, and time zones.

Each becomes a description, of plain data itself, and perhaps a buffer; `build` makes it of them again. NumPy is
imported when there is something of it. Descriptions come from anywhere: `build` believes nothing.
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import Any, cast

__all__ = ["Damaged", "Foreign", "build", "describe", "size_in_buffer"]

Description = tuple[Any, ...]


class Damaged(Exception):
    """A description that `describe` does not make."""


class Foreign(Exception):
    """The value is no plain data. The text fits behind its type's name."""


def describe(value: Any) -> tuple[Description, memoryview | None]:
    """The value's description, and the bytes of an array.

    Raises:
        Foreign: it is no plain data after all.
    """
    if isinstance(value, datetime.timezone):
        arguments: tuple[Any, ...] = cast(Any, value).__getinitargs__()
        return ("offset", *arguments), None
    if type(value).__name__ == "ZoneInfo":
        return _describe_zone(value), None
    return _describe_numpy(value)


def size_in_buffer(description: Any) -> int | None:
    """How many bytes of a buffer belong to it; None: it has none.

    Raises:
        Damaged: it is no description.
    """
    match description:
        case ("array", kind, tuple(), str()):
            shape = cast(tuple[Any, ...], description[2])
            if any(type(each) is not int or not 0 <= each < 2**63 for each in shape):
                raise Damaged("shape")
            count: int = math.prod(shape)
            size: int = _dtype(kind).itemsize
            return count * size
        case (str(), *_):
            return None
        case _:
            raise Damaged("no description")


def build(description: Description, buffer: Any) -> Any:
    """The value.

    Args:
        description: what `describe` made, or something like it.
        buffer: writable memory of `size_in_buffer` bytes, which the value may keep; or None.

    Raises:
        Damaged: it is no description.
    """
    maker = _MAKERS.get(description[0])
    if maker is None:
        raise Damaged(f"no such kind: {description[0]!r:.40}")
    try:
        return maker(*description[1:], *(() if buffer is None else (buffer,)))
    except (TypeError, ValueError, OverflowError, KeyError, AttributeError) as error:
        raise Damaged(f"{description[0]}: {error}") from error


# ---- time zones


def _describe_zone(zone: Any) -> Description:
    """ZoneInfo's own answer to pickle: its key, and whether it is the one that everybody shares."""
    try:
        _, (key, shared) = zone.__reduce__()
    except Exception as error:  # PicklingError: it was made from a file
        raise Foreign(f"which is not known by a name ({error})") from error
    return "zone", key, bool(shared)


def _make_offset(offset: datetime.timedelta, *name: str) -> datetime.timezone:
    if type(offset) is not datetime.timedelta or any(type(each) is not str for each in name):
        raise Damaged("offset")
    return datetime.timezone(offset, *name)


# Part of a file's name under a folder of the system's.
_ZONE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_+.-]*(?:/[A-Za-z0-9][A-Za-z0-9_+.-]*){0,3}")


def _make_zone(key: str, shared: bool) -> Any:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    if type(key) is not str or type(shared) is not bool or len(key) > 100 or not _ZONE.fullmatch(key):
        raise Damaged("zone")
    try:
        return ZoneInfo(key) if shared else ZoneInfo.no_cache(key)
    except (ZoneInfoNotFoundError, OSError) as error:
        raise Damaged(f"the time zone {key!r} is not known here") from error


# ---- NumPy


def _numpy() -> Any:
    # Type checks must give the same answer whether or not NumPy is installed: hence no plain import.
    return import_module("numpy")


# What numpy.dtype.str says of a type without objects: byte order, kind, size, and a unit of time.
_SIMPLE = re.compile(r"[<>|](?:[biufcSUV][0-9]+|[qQ]|[mM]8(?:\[[0-9]*[A-Za-z]+(?:/[0-9]+)?\])?)")
_LARGEST_ITEM = 2**31 - 1


def _describe_numpy(value: Any) -> tuple[Description, memoryview | None]:
    numpy = _numpy()
    if type(value) is numpy.ndarray:
        kind = _describe_dtype(value.dtype)
        order = "C" if value.flags.c_contiguous or not value.flags.f_contiguous else "F"
        flat = value.ravel(order="A")  # no copy if it lies in either order
        data = memoryview(flat.view(numpy.uint8)) if flat.nbytes else memoryview(b"")
        return ("array", kind, value.shape, order), data
    if type(value) is numpy.str_:
        return ("text", str.__str__(value)), None  # str(value) drops NULs at the end
    if type(value) is numpy.bytes_:
        return ("bytes", bytes(value)), None
    dtype = value.dtype
    if type(value) is not dtype.type:
        raise Foreign("which is no type of NumPy's own")
    return ("scalar", _describe_dtype(dtype), _scalar_bytes(value, dtype)), None


def _scalar_bytes(value: Any, dtype: Any) -> bytes:
    """The scalar's own memory. Of an x86 long double, 6 of 16 bytes are whatever lay there: nobody's business."""
    content = bytearray(value.tobytes())
    if dtype.char in "gG" and _numpy().finfo(dtype).nmant == 63:
        half = dtype.itemsize if dtype.char == "g" else dtype.itemsize // 2
        for start in range(0, dtype.itemsize, half):
            unused = slice(start + 10, start + half) if dtype.isnative else slice(start, start + half - 10)
            content[unused] = bytes(half - 10)
    return bytes(content)


def _describe_dtype(dtype: Any) -> Any:
    """As plain data, from which the very same type can be made.

    Raises:
        Foreign: it has objects, or something else that would be lost.
    """
    described = _dtype_parts(dtype)
    again: Any = None
    with suppress(Damaged):
        again = _dtype(described)
    if again != dtype or again.isalignedstruct != dtype.isalignedstruct or again.type is not dtype.type:
        raise Foreign(f"whose dtype {dtype!r} cannot be carried exactly")
    return described


def _dtype_parts(dtype: Any) -> Any:
    numpy = _numpy()
    if dtype.hasobject:
        raise Foreign(f"whose dtype {dtype!r} has Python objects")
    if dtype.metadata is not None:
        raise Foreign(f"whose dtype {dtype!r} has metadata")
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return "of", _dtype_parts(base), shape
    if dtype.names is None:
        text: str = dtype.str
        if dtype.char in "qQ":  # long long, which NumPy tells from long, though it has as many bits
            text = text[0] + dtype.char
        if not _SIMPLE.fullmatch(text):
            raise Foreign(f"whose dtype {dtype!r} is no type of NumPy's own")
        # A long double is another thing on each kind of machine: its precision tells which.
        return (text, numpy.finfo(dtype).nmant) if dtype.char in "gG" else text
    fields = [
        (name, title, offset, _dtype_parts(inner))
        for name in dtype.names
        for inner, offset, title in [(*dtype.fields[name], None)[:3]]
    ]
    for _, title, _, _ in fields:
        if title is not None and type(title) is not str:
            raise Foreign(f"whose dtype {dtype!r} has a title that is no str")
    return "record" if dtype.type is numpy.record else "struct", dtype.itemsize, dtype.isalignedstruct, fields


def _dtype(parts: Any) -> Any:
    """The numpy.dtype of a description.

    Raises:
        Damaged: it is none.
    """
    numpy = _numpy()
    try:
        match parts:
            case str() if _SIMPLE.fullmatch(parts):
                made = numpy.dtype(parts)
            case (str() as text, int() as precision) if _SIMPLE.fullmatch(text):
                made = numpy.dtype(text)
                if numpy.finfo(made).nmant != precision:
                    raise Damaged("a long double of another kind of machine")
            case ("of", base, tuple()):
                shape = cast(tuple[Any, ...], parts[2])
                if any(type(each) is not int for each in shape):
                    raise Damaged("dtype")
                made = numpy.dtype((_dtype(base), shape))
            case (("struct" | "record") as word, int() as size, bool() as aligned, list()):
                fields = cast(list[tuple[Any, Any, Any, Any]], parts[3])
                names, titles, offsets, formats = zip(*fields, strict=True) if fields else ((), (), (), ())
                if any(type(name) is not str for name in names) or any(
                    type(each) is not int for each in offsets
                ):
                    raise Damaged("dtype")
                if any(title is not None and type(title) is not str for title in titles):
                    raise Damaged("dtype")
                layout: dict[str, Any] = {
                    "names": list(names),
                    "formats": [_dtype(each) for each in formats],
                    "offsets": list(offsets),
                    "itemsize": size,
                }
                if any(title is not None for title in titles):
                    layout["titles"] = list(titles)
                made = numpy.dtype(layout, align=aligned)
                if word == "record":
                    made = numpy.dtype((numpy.record, made))
            case _:
                raise Damaged("dtype")
    except (TypeError, ValueError, OverflowError, KeyError, IndexError, SyntaxError) as error:
        raise Damaged(f"dtype: {error}") from error
    if made.hasobject or made.itemsize > _LARGEST_ITEM:
        raise Damaged("dtype")
    return made


def _make_array(kind: Any, shape: tuple[int, ...], order: str, buffer: Any) -> Any:
    numpy = _numpy()
    if order not in ("C", "F"):
        raise Damaged("order")
    made: Any = numpy.ndarray(shape, _dtype(kind), buffer, order=order)
    _check_text(made)
    return made


def _make_scalar(kind: Any, content: bytes) -> Any:
    numpy = _numpy()
    dtype = _dtype(kind)
    if type(content) is not bytes or len(content) != dtype.itemsize or dtype.subdtype is not None:
        raise Damaged("scalar")
    made: Any = numpy.ndarray((), dtype, bytearray(content))
    _check_text(made)
    return made[()]


def _make_text(content: str) -> Any:
    numpy = _numpy()
    if type(content) is not str:
        raise Damaged("text")
    return numpy.str_(content)


def _make_bytes(content: bytes) -> Any:
    numpy = _numpy()
    if type(content) is not bytes:
        raise Damaged("bytes")
    return numpy.bytes_(content)


def _check_text(array: Any) -> None:
    """Raises Damaged for characters that there are none of: NumPy finds out when one is looked at, or never."""
    numpy = _numpy()
    dtype = array.dtype
    if dtype.names is not None:
        for name in dtype.names:
            _check_text(array[name])
    elif dtype.kind == "U" and array.size:
        flat = numpy.ascontiguousarray(array).reshape(-1)
        if flat.view(numpy.dtype("u4").newbyteorder(dtype.byteorder)).max(initial=0) > 0x10FFFF:
            raise Damaged("text")


_MAKERS: dict[str, Callable[..., Any]] = {
    "array": _make_array,
    "scalar": _make_scalar,
    "text": _make_text,
    "bytes": _make_bytes,
    "offset": _make_offset,
    "zone": _make_zone,
}
