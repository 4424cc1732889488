"""Dicts whose keys came before: they come out as pickle would have made them, and any byte of them may be wrong."""

from __future__ import annotations

import gc
import sys
import weakref
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import pytest
from codec_values import SETTINGS, accept, atoms, same, through_batch, through_pickle, through_queue
from hypothesis import given
from hypothesis import strategies as st
from plain_values import plain

from conveyor._native import _decode, _encode, _use_dict_layout
from conveyor.errors import BadMessage, CorruptSegment

LIST8, DICT8, SHAPE, AGAIN, KEY, REMEMBERED, ONE = 17, 19, 48, 49, 50, 0x40, 0x81
MOST_KEYS, MOST_SHAPES, MOST_BLOCK = 64, 32, 1024


def block(*keys: bytes, count: int | None = None) -> bytes:
    """A shape as it is written, without values."""
    its = bytes([len(keys) if count is None else count]) + b"".join(bytes([len(key)]) + key for key in keys)
    return bytes([SHAPE]) + len(its).to_bytes(2, "little") + its


def encoded(item: Any) -> bytes:
    """Its encoding when its dicts' keys have come before."""
    for _ in range(2):
        _encode(item)
    found = _encode(item)
    assert found is not None
    return found


def op(data: bytes) -> int:
    return data[0] & ~REMEMBERED


def check(item: Any) -> None:
    expected = through_pickle(item)
    for _ in range(3):  # as nothing, as a shape that is made, as one that is there
        data = _encode(item)
        assert data is not None
        same(_decode(data), expected)
    same(through_queue(item), expected)
    same(through_batch(item), expected)


@pytest.fixture(params=[True, False], ids=["layout known", "layout unknown"], autouse=True)
def _layout(request: pytest.FixtureRequest) -> Iterator[None]:
    assert _use_dict_layout(True), "the layout of this CPython's dicts is not known: shapes are never written"
    _use_dict_layout(request.param)
    yield
    _use_dict_layout(True)


known = pytest.mark.parametrize("_layout", [True], indirect=True)

# The same objects, in every item: only then are they one shape.
NAMES = [f"name {number}" for number in range(12)] + ["", "k", "x" * 255]
ORDERS = [NAMES[:8], NAMES[7::-1], NAMES[4:12], NAMES[:1], NAMES[12:], NAMES[3:6] + NAMES[13:14]]


@st.composite
def records(draw: st.DrawFn) -> Any:
    """Trees of dicts of few shapes, whose keys are also values, and which are met more than once."""
    made: list[Any] = []

    def value(depth: int) -> Any:
        kind = draw(st.integers(0, 7 if depth < 4 else 3))
        if kind == 0:
            return draw(atoms)
        if kind == 1:
            return draw(st.sampled_from(NAMES))
        if kind == 2 and made:
            return draw(st.sampled_from(made))
        if kind <= 3:
            return draw(st.integers(-300, 300))
        if kind == 4:
            some: list[Any] = []
            made.append(some)
            some.extend(value(depth + 1) for _ in range(draw(st.integers(0, 4))))
            return some
        record: dict[Any, Any] = {}
        made.append(record)
        record.update((name, value(depth + 1)) for name in draw(st.sampled_from(ORDERS)))
        if draw(st.integers(0, 9)) == 0:
            del record[draw(st.sampled_from(list(record)))]
        if draw(st.integers(0, 9)) == 0:
            record[draw(st.sampled_from([7, "later", "é", None, (1, 2)]))] = value(depth + 1)
        return record

    return [value(0) for _ in range(draw(st.integers(1, 4)))]


@SETTINGS
@given(records())
def test_records_come_out_as_from_pickle(item: Any) -> None:
    check(item)


@known
def test_keys_that_came_before_are_one_block() -> None:
    keys = [f"first key {id(object())}", "second"]
    item = dict.fromkeys(keys, 1)
    first, second, third = (_encode(item) for _ in range(3))
    assert first is not None
    assert second is not None
    assert (op(first), op(second)) == (DICT8, SHAPE)
    assert second == third
    assert bytes([second[0] & ~REMEMBERED]) + second[1:] == block(*map(str.encode, keys)) + bytes([ONE, ONE])
    assert _encode(dict(reversed(item.items()))) != third  # another order is another shape
    assert list(_decode(second)) == keys


@known
def test_a_shape_is_named_once_in_an_item() -> None:
    rows = [dict.fromkeys(NAMES[:8], number) for number in range(50)]
    assert encoded(rows).count(NAMES[7].encode()) == 1
    check(rows)


def test_what_was_written_before_there_were_shapes_is_read() -> None:
    data = bytes([DICT8, 2, 8, 2]) + b"ab" + bytes([ONE, 8 | REMEMBERED, 2]) + b"cd" + bytes([23, 0, 0, 0, 0])
    item = _decode(data)
    assert item == {"ab": 1, "cd": "cd"}
    assert list(item) == ["ab", "cd"]


class Text(str):
    pass


class Table(dict):  # type: ignore[type-arg]
    pass


class Thing:
    def __init__(self) -> None:
        self.one, self.two = 1, "two"


LONG = [f"{number:04}" + "y" * 60 for number in range(20)]
KEPT = "kept"


@pytest.mark.parametrize(
    "item",
    [
        {},
        {"": 1},
        {"a": "a", "b": ["a", "b"]},
        {1: 2},
        {"a": 1, 2: 3},
        {"é": 1, "a": 2},
        {"€": 1},
        {"a\x00b": 1},
        dict.fromkeys((str(number) for number in range(MOST_KEYS)), 0),
        dict.fromkeys((str(number) for number in range(MOST_KEYS + 1)), 0),
        dict.fromkeys(LONG, 0),
        dict.fromkeys(["z" * 255, "z" * 254], 0),
        dict.fromkeys(["z" * 256], 0),
        [{str(number): {f"in {number}": number}} for number in range(2 * MOST_SHAPES)],
        [dict.fromkeys(NAMES[number:]) for number in range(len(NAMES))],
        [KEPT, {KEPT: KEPT}, {KEPT: {KEPT: KEPT}}, KEPT],
        [{KEPT: KEPT}, {KEPT: 1, "other": KEPT}, KEPT],
        {(KEPT, 1): {KEPT: 2}},
        vars(Thing()),
        [vars(Thing()), vars(Thing())],
        Table(a=1),
        OrderedDict(a=1, b=2),
        [Text("a"), {Text("a"): 1}],
        {"a": Table(a=1)},
    ],
    ids=lambda item: f"{type(item).__name__} of {len(item)}",
)
def test_edges(item: Any) -> None:
    expected = through_pickle(item)
    for _ in range(3):
        same(through_queue(item), expected)
        same(through_batch(item), expected)


def test_a_record_inside_itself() -> None:
    record: dict[str, Any] = dict.fromkeys(NAMES[:8])
    record[NAMES[2]] = [record]
    record[NAMES[5]] = record
    check(record)


def test_keys_that_are_equal_but_not_the_same() -> None:
    for _ in range(5):
        item = {"".join(["na", "me"]): "".join(["val", "ue"]), "".join(["oth", "er"]): 2}
        assert list(through_queue(item).items()) == list(item.items())


def test_values_are_never_shared() -> None:
    """But for short texts, of which those that came lately are given again: nobody can change them."""
    item = {"level": "WARNING" * 4, "list": [1]}
    data = encoded(item)
    one, two = _decode(data), _decode(data)
    assert one == two == item
    assert one["level"] is not two["level"]
    one["level"] = one["new"] = 0
    one["list"].append(2)
    del one["list"]
    assert _decode(data) == two == item  # nor does what is done to one reach the next


def test_a_shared_key_is_one_object_whatever_shapes_came_between() -> None:
    item = [{KEPT: 1, "a": 2}, {"b": 1, KEPT: 2}]
    data = encoded(item)
    for number in range(2000):
        _decode(block(KEPT.encode(), str(number).encode()) + bytes([ONE, ONE]))
        if number % 100 == 0:
            one, two = _decode(data)
            assert next(iter(one)) is list(two)[1]


def test_more_shapes_than_are_kept() -> None:
    items = [{f"a{number}": number, f"b{number}": [number]} for number in range(1500)]
    for _ in range(3):
        for item in items:
            data = _encode(item)
            assert data is not None
            assert _decode(data) == item


def test_nothing_is_held_but_the_keys() -> None:
    name = "".join(["some", " name"])
    item = {name: None, "x": None}
    data = encoded(item)
    _decode(data)
    before = sys.getrefcount(None), sys.getrefcount(name)
    for _ in range(1000):
        _decode(data)
        _encode(item)
        with pytest.raises(CorruptSegment):
            _decode(data[:-1])
    after = sys.getrefcount(None), sys.getrefcount(name)
    assert max(map(abs, (after[0] - before[0], after[1] - before[1]))) < 100


@pytest.mark.parametrize("value", [1, "text", [], {}, {"a": 1}])
def test_the_garbage_collector_looks_at_what_it_must(value: Any) -> None:
    item = {"value": value, "other": 1}
    assert gc.is_tracked(_decode(encoded(item))) == gc.is_tracked(through_pickle(item))


def test_a_circle_of_records_is_freed() -> None:
    item: dict[str, Any] = {"mark": {1}, "me": None}
    item["me"] = item
    data = encoded(item)
    gc.collect()
    made = _decode(data)
    mark = weakref.ref(made["mark"])
    del made
    gc.collect()
    assert mark() is None


# ---- damage


@pytest.mark.parametrize(
    "data",
    [
        bytes([SHAPE]),
        bytes([SHAPE, 0]),
        bytes([SHAPE, 0, 0]),
        bytes([SHAPE, 1, 0, 0]),
        bytes([SHAPE, 1, 0, 1, ONE]),
        bytes([SHAPE, 255, 255, 1, 1]) + b"a" + bytes([ONE]),
        block(count=0),
        block(b"a", count=2) + bytes([ONE, ONE]),
        block(b"a", b"b", count=1) + bytes([ONE]),
        block(b"a", b"a") + bytes([ONE, ONE]),
        block(b"a", b"\xe9") + bytes([ONE, ONE]),
        block(b"a"),
        block(b"a", b"b") + bytes([ONE]),
        block(b"a", b"b") + bytes([ONE, ONE, ONE]),
        block(*(str(number).encode() for number in range(MOST_KEYS + 1))) + bytes([ONE]) * (MOST_KEYS + 1),
        block(*(b"%d" % number + b"x" * 200 for number in range(6))) + bytes([ONE]) * 6,
        bytes([AGAIN, 0, ONE]),
        bytes([AGAIN]),
        bytes([KEY, 0, 0]),
        bytes([LIST8, 2]) + block(b"a") + bytes([ONE, AGAIN, 1, ONE]),
        bytes([LIST8, 2]) + block(b"a") + bytes([ONE, AGAIN]),
        bytes([LIST8, 2]) + block(b"a") + bytes([ONE, KEY, 0, 1]),
        bytes([LIST8, 2]) + block(b"a") + bytes([ONE, KEY, 0]),
        bytes([LIST8, 2]) + block(b"a") + bytes([ONE, KEY, 1, 0]),
        bytes([LIST8, MOST_SHAPES + 1])
        + b"".join(block(b"%d" % number) + bytes([ONE]) for number in range(MOST_SHAPES + 1)),
        # Nested lies: each names as many values as it can.
        block(*(b"%d" % number for number in range(MOST_KEYS))) + bytes([AGAIN, 0]) * 60,
        # A key that is no str, and one that cannot be hashed.
        bytes([DICT8, 1]) + block(b"a") + bytes([ONE, ONE]),
    ],
)
def test_bytes_that_nobody_writes(data: bytes) -> None:
    for _ in range(3):
        with pytest.raises(CorruptSegment):
            _decode(data)


def test_as_many_shapes_as_an_item_may_have() -> None:
    shapes = b"".join(block(b"%d" % number) + bytes([ONE]) for number in range(MOST_SHAPES))
    again = bytes([AGAIN, MOST_SHAPES - 1, ONE])
    made = _decode(bytes([LIST8, MOST_SHAPES + 1]) + shapes + again)
    assert made[-1] == made[-2] == {str(MOST_SHAPES - 1): 1}


@SETTINGS
@given(records(), st.data())
def test_any_byte_may_be_wrong(item: Any, data: st.DataObject) -> None:
    sound = encoded(item)
    at = data.draw(st.integers(0, len(sound) - 1))
    damaged = bytearray(sound)
    damaged[at] = data.draw(st.integers(0, 255))
    accept(bytes(damaged))
    accept(sound[:at])
    same(_decode(sound), through_pickle(item))  # what is kept of the damaged ones reaches no other item


@SETTINGS
@given(
    st.lists(
        st.sampled_from([SHAPE, AGAIN, KEY, DICT8, LIST8, 0, 1, 2, ONE, 97, 23, 0x70, 0x71]), max_size=40
    )
)
def test_any_bytes(numbers: list[int]) -> None:
    accept(bytes(numbers))


@pytest.mark.parametrize("data", [block(b"a") + bytes([ONE]), bytes([AGAIN, 0, ONE]), bytes([KEY, 0, 0])])
def test_plain_data_has_no_shapes(data: bytes) -> None:
    """What lies on brokers and in files is what docs/codecs.md says, and no more."""
    with pytest.raises(BadMessage):
        plain.decode(data)
    item = {"a": 1, "b": 2}
    assert {plain.encode(item) for _ in range(3)} == {plain.encode({"a": 1, "b": 2})}
