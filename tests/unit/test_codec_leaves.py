"""Values of the standard library's small types in the native encoding: each exact, or left to pickle."""

from __future__ import annotations

import copyreg
import datetime
import decimal
import gc
import pickle
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from decimal import Decimal
from multiprocessing.reduction import ForkingPickler
from typing import Any

import pytest
from codec_values import SETTINGS, accept, leaves, same, through_pickle, through_queue
from hypothesis import given
from hypothesis import strategies as st

from conveyor._native import _decode, _encode
from conveyor.errors import CorruptSegment

UTC = datetime.UTC
MOMENT = datetime.datetime(2024, 2, 29, 1, 2, 3, 4)
EXAMPLES: dict[type, Any] = {
    complex: 1 - 2j,
    datetime.date: datetime.date(2024, 2, 29),
    datetime.time: datetime.time(1, 2, 3, 4),
    datetime.datetime: MOMENT,
    datetime.timedelta: datetime.timedelta(1, 2, 3),
    Decimal: Decimal("1.50"),
    uuid.UUID: uuid.UUID(int=5),
}


class Angle(complex):
    pass


class Day(datetime.date):
    pass


class Clock(datetime.time):
    pass


class Moment(datetime.datetime):
    pass


class Span(datetime.timedelta):
    pass


class Money(Decimal):
    pass


class Name(uuid.UUID):
    pass


def odd_uuid(number: Any = 5, is_safe: Any = uuid.SafeUUID.unknown) -> uuid.UUID:
    made = uuid.UUID(int=0)
    object.__setattr__(made, "int", number)
    object.__setattr__(made, "is_safe", is_safe)
    return made


NATIVE: list[Any] = [
    *EXAMPLES.values(),
    complex("nan-infj"),
    complex(-0.0, -0.0),
    datetime.date.min,
    datetime.date.max,
    datetime.time.max,
    datetime.time(fold=1),
    datetime.datetime.min,
    datetime.datetime.max.replace(fold=1),
    MOMENT.replace(tzinfo=UTC),
    MOMENT.replace(tzinfo=datetime.timezone(datetime.timedelta(0)), fold=1),
    datetime.timedelta.min,
    datetime.timedelta.max,
    datetime.timedelta.resolution,
    *map(Decimal, ["0", "-0", "0.00", "-0E-10", "0E+10", "1E+5", "1.50", "-1.5E-7", "Infinity", "-Infinity"]),
    *map(Decimal, ["NaN", "-NaN", "NaN123", "sNaN", "-sNaN0042"]),
    Decimal("1e999999999999999999"),
    Decimal("-1e-1999999999999999997"),
    Decimal((1, (), 10)),
    Decimal("1" * 250),
    *(uuid.UUID(int=2**128 - 1, is_safe=safe) for safe in uuid.SafeUUID),
    uuid.UUID(int=0),
]
LEFT_TO_PICKLE: list[Any] = [
    Angle(1),
    Day(2024, 1, 1),
    Clock(1),
    Moment(2024, 1, 1),
    Span(1),
    Money(1),
    Name(int=5),
    UTC,
    MOMENT.replace(tzinfo=datetime.timezone(datetime.timedelta(0), "UTC")),
    MOMENT.replace(tzinfo=datetime.timezone(datetime.timedelta(hours=2))),
    datetime.time(1, tzinfo=UTC),
    Decimal("1" * 300),
    # Made as pickle makes them, which looks at next to nothing.
    datetime.date(bytes([7, 0xD0, 2, 31])),
    datetime.time(bytes([1, 99, 99, 255, 255, 255])),
    datetime.datetime(bytes([0, 0, 2, 0, 1, 2, 3, 0, 0, 4])),
    odd_uuid(2**128),
    odd_uuid(-1),
    odd_uuid(True),
    uuid.SafeUUID.safe,
]


@pytest.mark.parametrize("item", NATIVE, ids=repr)
def test_encoded(item: Any) -> None:
    encoded = _encode(item)
    assert encoded is not None
    same(_decode(encoded), through_pickle(item))
    again = [item, (item, {"k": item})]
    same(through_queue(again), through_pickle(again))
    deep = item
    for _ in range(64):
        deep = [deep]
    assert _encode(deep) is not None
    same(through_queue(deep), through_pickle(deep))


@pytest.mark.parametrize("item", LEFT_TO_PICKLE, ids=lambda item: f"{type(item).__name__}")
def test_left_to_pickle(item: Any) -> None:
    assert _encode(item) is None
    assert type(through_queue([item])[0]) is type(item)
    if isinstance(item, uuid.UUID):  # from 3.14 on the repr of one whose number does not fit fails
        assert [each.int for each in through_queue([item, item])] == [item.int, item.int]
    elif not isinstance(item, (datetime.date, datetime.time)):  # so may that of a 31st of February
        same(through_queue([item, item]), through_pickle([item, item]))


@pytest.mark.parametrize("missing", ["int", "is_safe"])
def test_empty_slots_are_left_to_pickle(missing: str) -> None:
    item = uuid.UUID(int=5)
    object.__delattr__(item, missing)
    assert _encode([item]) is None


@SETTINGS
@given(st.lists(leaves, max_size=8), st.randoms(use_true_random=False))
def test_aliasing(values: list[Any], choose: Any) -> None:
    item = [choose.choice(values) for _ in range(12)] + [(*values,)] if values else values
    encoded = _encode(item)
    assert encoded is not None
    same(_decode(encoded), through_pickle(item))


# ---- a program's own way to pickle a type counts


@pytest.fixture
def registries() -> Iterator[None]:
    before = [(table, dict(table)) for table in (copyreg.dispatch_table, ForkingPickler._extra_reducers)]
    yield
    for table, entries in before:
        table.clear()
        table.update(entries)


def other(item: Any) -> Any:
    return str, (f"my own {type(item).__name__}",)


REGISTER: list[Callable[..., None]] = [copyreg.pickle, ForkingPickler.register]


@pytest.mark.usefixtures("registries")
@pytest.mark.parametrize("register", REGISTER)
@pytest.mark.parametrize("kind", EXAMPLES)
def test_registered_reducers_count(kind: type, register: Callable[..., None]) -> None:
    item = EXAMPLES[kind]
    assert _encode(item) is not None
    register(kind, other)
    assert _encode(item) is None
    assert _encode([1, {"k": item}]) is None
    assert through_queue([1, item]) == [1, f"my own {kind.__name__}"]
    assert all(_encode(EXAMPLES[unregistered]) for unregistered in {complex, Decimal, uuid.UUID} - {kind})


@pytest.mark.usefixtures("registries")
@pytest.mark.parametrize("register", REGISTER)
@pytest.mark.parametrize("kind", [datetime.timezone, datetime.timedelta])
def test_what_pickles_the_time_zone_counts(kind: type, register: Callable[..., None]) -> None:
    item = MOMENT.replace(tzinfo=UTC)
    assert _encode(item) is not None
    register(
        kind, lambda zone: (kind, (datetime.timedelta(hours=5),) if kind is datetime.timezone else (0, 3600))
    )
    assert _encode(item) is None
    assert through_queue(item).utcoffset() != datetime.timedelta(0)


@pytest.mark.usefixtures("registries")
def test_complex_is_pickled_as_usual_without_its_entry_too() -> None:
    del copyreg.dispatch_table[complex]
    assert through_queue(1 - 2j) == 1 - 2j
    ForkingPickler.register(complex, copyreg.pickle_complex)
    assert through_queue(1 - 2j) == 1 - 2j


# ---- decimal's context is the program's own


def test_the_decimal_context_changes_nothing() -> None:
    items = [Decimal("1E+5"), Decimal("123456789.123456789"), Decimal("-0E-9"), Decimal("NaN7")]
    for context in (
        decimal.Context(prec=1, Emax=1, Emin=-1, clamp=1, capitals=0, traps=[]),
        decimal.BasicContext,
    ):
        with decimal.localcontext(context) as used:
            encoded = _encode(items)
            assert encoded is not None
            same(_decode(encoded), items)
            assert not any(used.flags.values())
            for text in (
                b"",
                b"x",
                b"1_0",
                b" 1",
                b"1.",
                b"1E9",
                b"NaN1.5",
                b"--1",
                b"1E+99999999999999999999999",
            ):
                if used.traps[decimal.InvalidOperation] or b"99" not in text:
                    with pytest.raises(CorruptSegment):
                        _decode(bytes([DECIMAL, len(text)]) + text)


def test_a_threads_first_decimal_leaves_the_collector_as_it_was() -> None:
    items = [Decimal("1.5")]
    seen: list[Any] = []
    for enabled in (True, False):
        (gc.enable if enabled else gc.disable)()
        thread = threading.Thread(target=lambda: seen.append((_encode(items) is not None, gc.isenabled())))
        thread.start()
        thread.join()
    gc.enable()
    assert seen == [(True, True), (True, False)]


# ---- damaged bytes

BAD_DATES = [(0, 0, 1, 1), (39, 16, 1, 1), (7, 208, 0, 1), (7, 208, 13, 1), (7, 208, 2, 30), (7, 209, 2, 29)]
BAD_TIMES = [(24, 0, 0, 0, 0, 0, 0), (0, 60, 0, 0, 0, 0, 0), (0, 0, 60, 0, 0, 0, 0), (0, 0, 0, 15, 66, 64, 0)]
BAD_FOLD = (0, 0, 0, 0, 0, 0, 2)


def operation(item: Any) -> int:
    encoded = _encode(item)
    assert encoded is not None
    return encoded[0] & ~0x40


DECIMAL = operation(Decimal(1))


@pytest.mark.parametrize("content", BAD_DATES)
def test_bad_dates(content: tuple[int, ...]) -> None:
    for data in (
        [operation(EXAMPLES[datetime.date]), *content],
        [operation(MOMENT), *content, 0, 0, 0, 0, 0, 0, 0],
    ):
        with pytest.raises(CorruptSegment):
            _decode(bytes(data))


@pytest.mark.parametrize("content", [*BAD_TIMES, BAD_FOLD])
def test_bad_times(content: tuple[int, ...]) -> None:
    with pytest.raises(CorruptSegment):
        _decode(bytes([operation(EXAMPLES[datetime.time]), *content]))
    if content is not BAD_FOLD:
        with pytest.raises(CorruptSegment):
            _decode(bytes([operation(MOMENT), 7, 0xD0, 1, 1, *content]))


@pytest.mark.parametrize(
    "parts", [(0, -1, 0), (0, 86_400, 0), (0, 0, 1_000_000), (10**9, 0, 0), (-(10**9), 0, 0)]
)
def test_bad_spans(parts: tuple[int, ...]) -> None:
    content = b"".join(part.to_bytes(4, "little", signed=True) for part in parts)
    with pytest.raises(CorruptSegment):
        _decode(bytes([operation(datetime.timedelta(1))]) + content)


@SETTINGS
@given(leaves, st.data())
def test_damage(item: Any, data: st.DataObject) -> None:
    encoded = bytearray(_encode([item, item]) or b"")
    for _ in range(data.draw(st.integers(1, 3))):
        encoded[data.draw(st.integers(0, len(encoded) - 1))] = data.draw(st.integers(0, 255))
    accept(bytes(encoded))
    accept(bytes(encoded[: data.draw(st.integers(0, len(encoded)))]))


@SETTINGS
@given(leaves, st.binary(max_size=20))
def test_any_content(item: Any, content: bytes) -> None:
    accept(bytes([operation(item)]) + content)


def test_an_interrupt_in_a_hash_is_passed_on() -> None:
    encoded = _encode({uuid.UUID(int=5): 1})
    assert encoded is not None

    def interrupted(self: uuid.UUID) -> int:
        raise KeyboardInterrupt

    usual = uuid.UUID.__hash__
    uuid.UUID.__hash__ = interrupted  # type: ignore[method-assign]
    try:
        with pytest.raises(KeyboardInterrupt):
            _decode(encoded)
    finally:
        uuid.UUID.__hash__ = usual  # type: ignore[method-assign]


# ---- modules


def test_the_receiver_imports_what_it_needs() -> None:
    items = [*EXAMPLES.values(), MOMENT.replace(tzinfo=UTC)]
    for item in [*items, items]:
        encoded = _encode(item)
        program = f"""
import sys
from conveyor._native import _decode
item = _decode({encoded!r})
import pickle
assert pickle.dumps(item, 5) == {pickle.dumps(through_pickle(item), 5)!r}
"""
        subprocess.run([sys.executable, "-c", program], check=True)


def test_the_sender_imports_nothing() -> None:
    program = """
import sys
from conveyor._native import _encode
def check(item, native=True):
    before = set(sys.modules)
    assert (_encode(item) is not None) is native, item
    assert set(sys.modules) == before
check(object(), False)
check(type("UUID", (), {})(), False)
check(type("datetime.date", (), {})(), False)
check(type("decimal.Decimal", (), {})(), False)
check(1j)
import datetime, decimal, uuid
check(datetime.date(2024, 1, 1))
check(decimal.Decimal(1))
check(uuid.UUID(int=1))
import copyreg
copyreg.pickle(decimal.Decimal, str)
check(decimal.Decimal(1), False)
import multiprocessing.reduction
multiprocessing.reduction.ForkingPickler.register(uuid.UUID, str)
check(uuid.UUID(int=1), False)
check(datetime.date(2024, 1, 1))
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_decimals_in_python_are_left_to_pickle() -> None:
    program = """
import sys
sys.modules["_decimal"] = None
import decimal
from conveyor._native import _encode
assert type(decimal.Decimal).__module__ == "builtins"
assert _encode(decimal.Decimal(1)) is None
"""
    subprocess.run([sys.executable, "-c", program], check=True)
