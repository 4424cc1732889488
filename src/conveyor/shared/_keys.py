"""What two keys of a shared dict are compared by, where the core does not know their type.

A plain dict calls `__eq__`. A shared one cannot, as no code of the program's may run under its lock: it compares
bytes. So that equal keys have equal bytes, each type is written here as something plain. See docs/adr/0015.
"""

from __future__ import annotations

import datetime
import functools
import io
import pickle
import uuid
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from numbers import Number
from pathlib import PurePath, PureWindowsPath
from typing import Any, cast

from .._native import canonical_key

__all__ = ["comparable"]

_BASES: tuple[type, ...] = (int, float, str, bytes, tuple)
_MOST_DIGITS = 5000
_frozenset: Any = frozenset


def comparable(key: Any) -> tuple[bool, Any]:
    """(True, a plain object that is equal to `key`), or (False, a plain object by which its kind is compared).

    Plain: None, int, float, str, bytes, and tuples of them.

    Raises:
        TypeError: `key` cannot be a key; the text says why.
    """
    hash(key)
    kind: Any = type(cast(object, key))
    is_a: Callable[[type], bool] = functools.partial(isinstance, key)
    for base in _BASES:
        plain_type: Any = base
        if is_a(base) and kind is not base and kind.__eq__ is plain_type.__eq__:
            return True, _as(base, key)
    if kind in (str, bytes):  # too long for the core's own encoding
        data = key.encode("utf-8", "surrogatepass") if kind is str else key
        return False, (kind.__name__, *_cut(data))
    if kind is int:
        return False, ("int", f"{key:x}")
    if is_a(frozenset) and kind.__eq__ is _frozenset.__eq__:
        return False, ("set", *sorted(map(canonical_key, key)))
    if kind.__module__ == "numpy" and hasattr(key, "item"):
        plain = key.item()
        if type(plain) in (bool, int, float, complex, str, bytes) and plain == key:
            return (True, plain) if type(plain) is not complex else _number(plain)
    if is_a(Number):
        return _number(key)
    if is_a(PurePath) and kind.__eq__ is PurePath.__eq__:
        return False, _path(key)
    moment = _moment(key)
    return (False, moment) if moment else (False, ("pickle", *_cut(_pickled(key))))


def _as(base: type, key: Any) -> Any:
    # As the base class has it, whatever the subclass has made of str() or int().
    if base is str:
        return str.__str__(key)
    if base is int:
        return int.__int__(key)
    if base is float:
        return float.__float__(key)
    if base is bytes:
        return bytes(memoryview(key))
    kind: Any = tuple
    return tuple(kind.__iter__(key))


def _cut(data: bytes) -> list[bytes]:
    """Pieces that the core's own encoding takes."""
    return [data[at : at + 8192] for at in range(0, len(data), 8192)]


def _number(key: Any) -> tuple[bool, Any]:
    if isinstance(key, complex):
        return (True, key.real) if key.imag == 0 else (False, ("complex", key.real, key.imag))
    if isinstance(key, Decimal):
        if key.is_nan() or key.is_infinite():
            return True, float(key)
        if abs(key.adjusted()) > _MOST_DIGITS:
            raise TypeError(f"key is {key!r:.100}; a Decimal key must have at most {_MOST_DIGITS} digits")
        key = Fraction(key)
    if isinstance(key, Fraction):
        if key.denominator == 1:
            return True, key.numerator
        try:
            near = float(key)
        except OverflowError:
            near = 0.0
        return (True, near) if near == key else (False, ("ratio", key.numerator, key.denominator))
    raise TypeError(
        f"key is {key!r:.100}, of type {type(key).__qualname__}; of numbers, only int, float, complex, Decimal, "
        "Fraction, and what NumPy has of these can be keys: convert it"
    )


def _path(key: PurePath) -> tuple[str, str]:
    # Not its pickle, which may have the parts as they were given.
    return ("windows", str(key).lower()) if isinstance(key, PureWindowsPath) else ("posix", str(key))


def _moment(key: Any) -> tuple[Any, ...] | None:
    kind: Any = type(cast(object, key))
    if kind is datetime.datetime:
        if key.tzinfo is None or key.utcoffset() is None:
            return "datetime", key.replace(fold=0, tzinfo=None).isoformat()
        return "instant", key.astimezone(datetime.UTC).isoformat()
    if kind is datetime.date:
        return "date", key.toordinal()
    if kind is datetime.time and key.tzinfo is None:
        return "time", key.replace(fold=0).isoformat()
    if kind is datetime.timedelta:
        return "timedelta", key.days, key.seconds, key.microseconds
    if kind is uuid.UUID:
        return "uuid", key.int
    if isinstance(key, datetime.date | datetime.time):
        raise TypeError(
            f"key is {key!r:.100}, of type {kind.__qualname__}; a subclass of datetime's types, or a time with a "
            "timezone, cannot be a key: convert it"
        )
    return None


def _pickled(key: Any) -> bytes:
    into = io.BytesIO()
    pickler = pickle.Pickler(into, 5)
    pickler.fast = True  # without references: how often a part of the key is met must not matter
    pickler.dump(key)
    data = into.getvalue()
    if pickle.loads(data) != key:
        raise TypeError(
            f"key is {key!r:.100}, of type {type(key).__qualname__}, whose copies are not equal to it; give the type "
            "an __eq__ and a __hash__ by its contents, or use something plain"
        )
    return data
