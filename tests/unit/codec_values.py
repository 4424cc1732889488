"""What the tests of the native encoding share: values to encode, and how to compare what comes out."""

from __future__ import annotations

import copyreg
import dataclasses
import datetime
import decimal
import enum
import pickle
import struct
import uuid
from collections import deque
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

import conveyor
from conveyor._native import _decode, _encode
from conveyor.errors import CorruptSegment

SETTINGS = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))


def same(one: Any, other: Any, *, plain: bool = False) -> None:
    """Fail unless both have the same values, types, order and aliasing throughout.

    Args:
        plain: they are plain data, in which a dict's keys are shared with nothing, but for str and bytes.
    """
    forward: dict[int, int] = {}
    backward: dict[int, int] = {}
    met: dict[int, Any] = {}  # holds what it names, so that no id is used twice

    def compare(a: Any, b: Any, path: str, shared: bool = True) -> None:
        assert type(a) is type(b), f"{path}: {type(a)} and {type(b)}"
        kind = type(a)
        if a is None or kind in (bool, int) or issubclass(kind, (enum.Enum, type)):
            assert a == b, path
            return
        if kind is float:
            assert struct.pack("d", a) == struct.pack("d", b), path
            return
        if kind is complex:
            assert struct.pack("dd", a.real, a.imag) == struct.pack("dd", b.real, b.imag), path
        if isinstance(a, (datetime.datetime, datetime.time)):
            assert a.fold == b.fold, path
            assert a.tzinfo is b.tzinfo or a.tzinfo not in (None, datetime.UTC), path
        if isinstance(a, uuid.UUID):
            assert a.is_safe is b.is_safe, path
        if kind in (str, bytes) and (not a or (kind is str and len(a) == 1 and a < "\u0100")):
            assert a == b, path
            assert a is b, path  # unpickling gives one of each
            return
        if (kind is tuple and not a) or (kind is frozenset and not a):
            assert a == b, path
            return
        if shared or kind in (str, bytes):
            # Aliasing: the same object there if and only if it is the same object here.
            assert forward.setdefault(id(a), id(b)) == id(b), f"{path}: met before in one only"
            assert backward.setdefault(id(b), id(a)) == id(a), f"{path}: met before in the other only"
            if id(a) in met:
                return
            met[id(a)] = (a, b)
        if isinstance(a, (tuple, list, deque)):
            assert len(a) == len(b), path
            for index, (left, right) in enumerate(zip(a, b, strict=True)):
                compare(left, right, f"{path}[{index}]", shared)
        elif isinstance(a, dict):
            assert len(a) == len(b), path
            for (key, left), (other_key, right) in zip(a.items(), b.items(), strict=True):
                compare(key, other_key, f"{path} key", not plain)
                compare(left, right, f"{path}[{key!r}]")
        elif isinstance(a, (set, frozenset)):
            assert len(a) == len(b), path
            assert sorted(map(canonical, a)) == sorted(map(canonical, b)), path
        elif not (hasattr(a, "__dict__") or dataclasses.is_dataclass(a) or slots_of(a)):
            assert repr(a) == repr(b), path  # tells NaNs and zeros apart better than ==
        if hasattr(a, "__dict__"):
            compare(vars(a), vars(b), f"{path}.__dict__")
        elif dataclasses.is_dataclass(a):
            for field in dataclasses.fields(a):
                compare(getattr(a, field.name), getattr(b, field.name), f"{path}.{field.name}")
        for name in slots_of(a):
            assert hasattr(a, name) == hasattr(b, name), f"{path}.{name}"
            compare(getattr(a, name, None), getattr(b, name, None), f"{path}.{name}")

    compare(one, other, "item")


def slots_of(value: Any) -> list[str]:
    if type(value).__module__ != "instance_classes":
        return []
    names: list[str] = copyreg._slotnames(type(value))  # type: ignore[attr-defined]
    return names


def canonical(value: Any) -> str:
    """A text that is the same for equal hashable values of the same types; NaNs by their bits."""
    if type(value) is float:
        return "float" + struct.pack("d", value).hex()
    if type(value) is complex:
        return "complex" + struct.pack("dd", value.real, value.imag).hex()
    if isinstance(value, tuple):
        return f"{type(value)}({','.join(map(canonical, value))})"
    if isinstance(value, frozenset):
        return f"{type(value)}({','.join(sorted(map(canonical, value)))})"
    return f"{type(value)}{value!a}"


def through_pickle(item: Any) -> Any:
    return pickle.loads(pickle.dumps(item, 5))


def through_queue(item: Any) -> Any:
    queue: conveyor.Queue[Any] = conveyor.Queue()
    queue.put(item)
    return queue.get()


def through_batch(item: Any) -> Any:
    queue: conveyor.Queue[Any] = conveyor.Queue()
    queue.put_many(["before", item, "after"])
    received = queue.get_many()
    assert [received[0], received[2]] == ["before", "after"]
    return received[1]


def accept(damaged: bytes) -> bool:
    """Whether the bytes are taken for an object, which then must be whole; else the error is ours."""
    try:
        decoded = _decode(damaged)
    except (CorruptSegment, MemoryError):
        return False
    again = _encode(decoded)
    if again is not None:
        same(_decode(again), through_pickle(decoded))
    else:
        repr(decoded)
    return True


nan_payloads = st.integers(0, 2**64 - 1).map(lambda bits: struct.unpack("d", struct.pack("Q", bits))[0])
texts = st.text(st.characters(codec=None, categories=None), max_size=300) | st.text("\ud800\udfff\udc80aé€😀")
numbers = st.integers() | st.integers(-(2**70), 2**70) | st.integers(0, 2**2000) | st.floats() | nan_payloads
clocks = st.datetimes(timezones=st.none() | st.just(datetime.UTC)) | st.times()
decimals = (
    st.decimals()
    | st.builds(
        lambda sign, digits, exponent: decimal.Decimal((sign, digits, exponent)),
        st.integers(0, 1),
        st.lists(st.integers(0, 9), max_size=40).map(tuple),
        st.integers(-6000, 6000) | st.sampled_from(["F", "n", "N"]),
    )
).filter(lambda number: len(str(number)) <= 255)  # longer ones go to pickle
leaves = st.one_of(
    st.builds(complex, st.floats() | nan_payloads, st.floats() | nan_payloads),
    st.dates(),
    st.builds(lambda clock, fold: clock.replace(fold=fold), clocks, st.integers(0, 1)),
    st.timedeltas(),
    decimals,
    st.builds(
        lambda value, safe: uuid.UUID(int=value, is_safe=safe),
        st.integers(0, 2**128 - 1),
        st.sampled_from(uuid.SafeUUID),
    ),
)
atoms = leaves | st.none() | st.booleans() | numbers | texts | st.binary(max_size=300)
hashable = st.recursive(
    atoms.filter(lambda atom: not isinstance(atom, decimal.Decimal) or not atom.is_snan()),
    lambda inner: st.lists(inner, max_size=4).map(tuple) | st.frozensets(inner, max_size=4),
    max_leaves=6,
)
natives = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.lists(inner, max_size=6),
        st.lists(inner, max_size=6).map(tuple),
        st.dictionaries(hashable, inner, max_size=5),
        st.sets(hashable, max_size=5),
        st.frozensets(hashable, max_size=5),
        inner.map(lambda value: [value, value, (value, [value])]),
    ),
    max_leaves=20,
)
