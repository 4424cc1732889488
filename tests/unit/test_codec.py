"""The native encoding: what comes out is what pickle would have made, and damaged bytes are an error."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import gc
import math
import pickle
import random
import sys
import uuid
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from collections.abc import Callable
from fractions import Fraction
from multiprocessing.reduction import ForkingPickler
from typing import Any

import pytest
from codec_values import (
    SETTINGS,
    accept,
    atoms,
    hashable,
    natives,
    same,
    through_batch,
    through_pickle,
    through_queue,
)
from hypothesis import given, settings
from hypothesis import strategies as st

import conveyor
from conveyor._native import _decode, _encode
from conveyor.errors import CorruptSegment

Point = namedtuple("Point", "x y")


class Colour(enum.Enum):
    RED = 1
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1


class Text(str):
    pass


class Whole(int):
    pass


class Rows(list):  # type: ignore[type-arg]
    pass


class Table(dict):  # type: ignore[type-arg]
    pass


@dataclasses.dataclass
class Record:
    name: str
    more: Any = None


@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    value: Any


others = st.one_of(
    st.sampled_from([Colour.RED, Colour.BLUE, Level.LOW, int, len]),
    st.builds(Text, st.text(max_size=5)),
    st.integers().map(Whole),
    st.fractions(),
    st.datetimes(timezones=st.just(datetime.timezone(datetime.timedelta(hours=2)))),
    st.binary(max_size=50).map(bytearray),
)


def containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    lists = st.lists(inner, max_size=6)
    return st.one_of(
        lists,
        lists.map(tuple),
        st.dictionaries(hashable, inner, max_size=5),
        st.sets(hashable, max_size=5),
        st.frozensets(hashable, max_size=5),
        st.tuples(inner, inner).map(lambda pair: Point(*pair)),
        lists.map(Rows),
        st.dictionaries(st.text(max_size=3), inner, max_size=3).map(Table),
        inner.map(lambda value: Record("name", value)),
        inner.map(lambda value: [value, value, (value, [value])]),  # met more than once
        inner.map(lambda value: {"a": value, "b": {"a": value}}),
        lists.map(deque),
        lists.map(lambda values: values.append(values) or values),  # type: ignore[func-returns-value]
    )


anything = st.recursive(atoms | others, containers, max_leaves=20)


@SETTINGS
@given(natives)
def test_common_objects_come_out_as_from_pickle(item: Any) -> None:
    expected = through_pickle(item)
    encoded = _encode(item)
    assert encoded is not None
    same(_decode(encoded), expected)
    same(through_queue(item), expected)


@SETTINGS
@given(anything)
def test_any_object_comes_out_as_from_pickle(item: Any) -> None:
    expected = through_pickle(item)
    same(through_queue(item), expected)
    same(through_batch(item), expected)


@SETTINGS
@given(st.lists(st.integers(0, 30), min_size=1, max_size=60), st.randoms(use_true_random=False))
def test_any_graph_keeps_its_shape(edges: list[int], choose: random.Random) -> None:
    makers: list[Callable[[], Any]] = [
        list,
        dict,
        lambda: ("a tuple", []),
        lambda: "text" * choose.randrange(3),
    ]
    nodes = [choose.choice(makers)() for _ in range(max(edges) + 1)]
    for at, edge in enumerate(edges):
        source, target = nodes[edges[at - 1]], nodes[edge]
        if isinstance(source, list):
            source.append(target)
        elif isinstance(source, dict):
            source[at] = target
        elif isinstance(source, tuple) and isinstance(source[1], list):
            source[1].append(target)
        if choose.random() < 0.2:
            nodes[edge] = (target, nodes[0])
    same(through_queue(nodes), through_pickle(nodes))


def recursive_tuple() -> Any:
    item: Any = ([], "x")
    item[0].append(item)
    return item


def self_containing(kind: Callable[[], Any], add: Callable[[Any, Any], object]) -> Any:
    item = kind()
    add(item, item)
    return item


def deep(depth: int, wrap: Callable[[Any], Any]) -> Any:
    item: Any = "bottom"
    for _ in range(depth):
        item = wrap(item)
    return item


SHARED = ["shared"]
LEAVES: list[Any] = [
    complex(-0.0, math.nan),
    datetime.date(2024, 2, 29),
    datetime.time(23, 59, 58, 999_999, fold=1),
    datetime.datetime(1, 1, 1),
    datetime.datetime(9999, 12, 31, 23, 59, 59, 999_999, datetime.UTC, fold=1),
    datetime.timedelta(-1, 2, 3),
    decimal.Decimal("-12.50E-30"),
    decimal.Decimal("NaN123"),
    uuid.UUID(int=2**127 + 1, is_safe=uuid.SafeUUID.unsafe),
]
EDGES: list[Any] = [
    *(
        sign * 2**power + off
        for power in (7, 8, 15, 16, 31, 32, 63, 64, 1000)
        for off in (-1, 0, 1)
        for sign in (-1, 1)
    ),
    2**150_000,
    -(2**131_071),
    0.0,
    -0.0,
    math.inf,
    sys.float_info.min,
    5e-324,
    *(
        kind * size
        for kind in (b"x", "x", "é", "€", "😀")
        for size in (0, 1, 255, 256, 4096, 16384, 16385, 70_000)
    ),
    *(
        [kind * size]
        for kind in (b"x", "x", "é", "€", "😀")
        for size in (255, 256, 4096, 16384, 16385, 70_000)
    ),
    "\ud800",
    "a\udcff\x00b",
    *([None] * size for size in (0, 1, 255, 256, 20_000)),
    *(tuple(range(size)) for size in (0, 1, 255, 256, 20_000)),
    *({str(number): number for number in range(size)} for size in (0, 1, 255, 256, 5000)),
    *(set(range(size)) for size in (0, 1, 255, 256, 5000)),
    frozenset(),
    frozenset(["a", ("b", frozenset([1.5]))]),
    *(deep(depth, lambda item: [item]) for depth in (62, 63, 64, 65, 66, 150)),
    *(deep(depth, lambda item: (item,)) for depth in (63, 64, 65)),
    *(deep(depth, lambda item: {"k": item}) for depth in (63, 64, 65)),
    recursive_tuple(),
    self_containing(list, lambda item, me: item.extend([me, 1, me])),
    self_containing(dict, lambda item, me: item.update(a=me, b=[me])),
    [SHARED] * 300,
    [[SHARED, str(number) * 2, (SHARED, number)] for number in range(200)],
    {"a": SHARED, "b": SHARED, "c": (SHARED, {"d": SHARED})},
    {True: 1, 2: 2.0, "x": None, (1, 2): [], b"x": {}, None: ()},
    [Point(1, 2), Point([], {})],
    Record("a", Record("b", [Frozen(1)])),
    [Colour.RED, Level.LOW, Colour, {Colour.BLUE: 1}],
    OrderedDict(b=1, a=2),
    defaultdict(list, a=[1]),
    Counter("abracadabra"),
    [Fraction(1, 3), decimal.Decimal("NaN"), decimal.Decimal("1.50"), datetime.date(2024, 2, 29)],
    [Text("x"), Whole(3), Rows([1]), Table(a=1), True, 1, 1.0],
    [bytearray(b"x" * 50_000), memoryview],
    range(10),
]


@pytest.mark.parametrize("item", EDGES, ids=lambda item: f"{type(item).__name__}")
def test_edges(item: Any) -> None:
    expected = through_pickle(item)
    same(through_queue(item), expected)
    same(through_batch(item), expected)


def test_what_has_one_reference_and_what_has_more() -> None:
    queue: conveyor.Queue[Any] = conveyor.Queue()
    for _ in range(3):  # the encoder's memory of one item must not reach into the next
        queue.put([str(1000), [], {}, SHARED, SHARED])
        queue.put([SHARED, SHARED, [], str(1000)])
        first, second = queue.get_many()
        assert first[3] is first[4]
        assert second[0] is second[1]
        assert first[1] is not second[2]


def test_one_character_is_as_from_pickle() -> None:
    one, two = (bytes(bytearray(b"x")) for _ in range(2))
    letters = [
        "".join(["a", ""]),
        pickle.loads(pickle.dumps("a")),
        "é€"[0],
        "€",
        "€"[:1],
        b"x",
        one,
        two,
        one,
    ]
    same(through_queue(letters), through_pickle(letters))


def test_builtin_containers_are_never_looked_up() -> None:
    reducers: Any = ForkingPickler._extra_reducers  # type: ignore[attr-defined]
    before = dict(reducers)
    item = [{"a": (1, 2.0, True)}, {1}, frozenset("b"), b"cd"]
    try:
        for kind in (list, dict, tuple, set, frozenset, str, bytes, int, float, bool):
            ForkingPickler.register(kind, lambda item: (str, ("my own",)))
        same(through_queue(item), through_pickle(item))
        assert _encode(item) is not None
        same(through_queue([item, len]), through_pickle([item, len]))  # by pickle
    finally:
        reducers.clear()
        reducers.update(before)


@pytest.mark.parametrize("kind", [set, frozenset])
def test_a_set_from_which_something_was_deleted(kind: type[Any]) -> None:
    """Its table has entries that are free, and some that were in use."""
    some = set(range(1000)) | {str(number) for number in range(1000)} | {-1, -2}
    for number in range(0, 1000, 3):
        some.discard(number)
        some.discard(str(number))
    item = kind(some)
    encoded = _encode(item)
    assert encoded is not None
    assert _decode(encoded) == through_queue(item) == item
    some.clear()
    assert through_queue(some) == set()


def samples() -> list[bytes]:
    items = [item for item in EDGES if sys.getsizeof(item) < 3000]
    items += [
        (42, "abc", 3.14, {"k": 1}),
        [SHARED, SHARED, {"a": (SHARED, "é", b"x", 2**80, {1, 2}, frozenset("ab"))}],
        [*LEAVES, *LEAVES],
        {leaf: leaf for leaf in LEAVES},
    ]
    return [encoded for item in items if (encoded := _encode(item)) is not None and len(encoded) < 2000]


def test_cut_short() -> None:
    for encoded in samples():
        for length in range(len(encoded)):
            with pytest.raises(CorruptSegment):
                _decode(encoded[:length])
        with pytest.raises(CorruptSegment):
            _decode(encoded + b"\x00")


def test_each_byte_changed() -> None:
    choose = random.Random(7)
    accepted = refused = 0
    for encoded in samples():
        for at in range(min(len(encoded), 120)):
            for value in {0, 255, encoded[at] ^ 0x40, encoded[at] ^ 1, choose.randrange(256)} - {encoded[at]}:
                if accept(encoded[:at] + bytes([value]) + encoded[at + 1 :]):
                    accepted += 1
                else:
                    refused += 1
    assert accepted > 1000  # a changed number is still a number
    assert refused > 1000


@settings(SETTINGS, max_examples=2000)
@given(st.binary(max_size=60))
def test_random_bytes(data: bytes) -> None:
    accept(data)


@settings(SETTINGS, max_examples=1000)
@given(st.lists(st.sampled_from([*range(32), *range(0x40, 0x60), 0x80, 0x81, 0xFF]), max_size=80).map(bytes))
def test_random_operations(data: bytes) -> None:
    accept(data)


def written(item: object) -> bytes:
    data = _encode(item)
    assert data is not None
    return data


def test_short_texts_of_different_items_may_be_one_object_but_not_of_one() -> None:
    texts = ["".join(["cached", " text"]), "".join(["cached", " text"])]
    assert texts[0] is not texts[1]
    data = written(texts)
    one, two = _decode(data), _decode(data)
    assert one == two == texts
    assert one[0] is two[0]
    for item in (one, two):
        assert item[0] is not item[1]


def test_an_item_read_while_another_is_read_has_texts_of_its_own() -> None:
    """A class's code, run in the midst of reading, reads the same text: what follows must not be its object too."""
    inner = written(["nested text"])
    met: list[Any] = []

    class Reads:
        def __del__(self) -> None:
            met.extend(_decode(inner))

    _decode(inner)  # it is known
    texts = ["".join(["nested", " text"]), "".join(["nested", " text"])]
    data = written([texts[0], *({str(index): [index]} for index in range(2000)), texts[1]])
    before = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for _ in range(20):
            cycle: list[Any] = [Reads()]
            cycle.append(cycle)
            del cycle
            read = _decode(data)
            assert read[0] == read[-1] == "nested text"
            assert read[0] is not read[-1]
    finally:
        gc.set_threshold(*before)
    assert met
