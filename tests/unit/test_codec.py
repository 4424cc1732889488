"""The native encoding: what comes out is what pickle would have made, and damaged bytes are an error."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import math
import pickle
import random
import struct
import sys
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import conveyor
from conveyor._native import _decode, _encode
from conveyor.errors import CorruptSegment

Point = namedtuple("Point", "x y")
SETTINGS = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))


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


def same(one: Any, other: Any) -> None:
    """Fail unless both have the same values, types, order and aliasing throughout."""
    forward: dict[int, int] = {}
    backward: dict[int, int] = {}
    met: dict[int, Any] = {}  # holds what it names, so that no id is used twice

    def compare(a: Any, b: Any, path: str) -> None:
        assert type(a) is type(b), f"{path}: {type(a)} and {type(b)}"
        kind = type(a)
        if a is None or kind in (bool, int) or issubclass(kind, (enum.Enum, type)):
            assert a == b, path
            return
        if kind is float:
            assert struct.pack("d", a) == struct.pack("d", b), path
            return
        if kind in (str, bytes) and len(a) <= 1:
            assert a == b, path  # the interpreter has one of each
            return
        if (kind is tuple and not a) or (kind is frozenset and not a):
            assert a == b, path
            return
        # Aliasing: the same object there if and only if it is the same object here.
        assert forward.setdefault(id(a), id(b)) == id(b), f"{path}: met before in one only"
        assert backward.setdefault(id(b), id(a)) == id(a), f"{path}: met before in the other only"
        if id(a) in met:
            return
        met[id(a)] = (a, b)
        if isinstance(a, (tuple, list, deque)):
            assert len(a) == len(b), path
            for index, (left, right) in enumerate(zip(a, b, strict=True)):
                compare(left, right, f"{path}[{index}]")
        elif isinstance(a, dict):
            assert len(a) == len(b), path
            for (key, left), (other_key, right) in zip(a.items(), b.items(), strict=True):
                compare(key, other_key, f"{path} key")
                compare(left, right, f"{path}[{key!r}]")
        elif isinstance(a, (set, frozenset)):
            assert len(a) == len(b), path
            assert sorted(map(canonical, a)) == sorted(map(canonical, b)), path
        elif not (hasattr(a, "__dict__") or dataclasses.is_dataclass(a)):
            assert repr(a) == repr(b), path  # tells NaNs and zeros apart better than ==
        if hasattr(a, "__dict__"):
            compare(vars(a), vars(b), f"{path}.__dict__")
        elif dataclasses.is_dataclass(a):
            for field in dataclasses.fields(a):
                compare(getattr(a, field.name), getattr(b, field.name), f"{path}.{field.name}")

    compare(one, other, "item")


def canonical(value: Any) -> str:
    """A text that is the same for equal hashable values of the same types; NaNs by their bits."""
    if type(value) is float:
        return "float" + struct.pack("d", value).hex()
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


nan_payloads = st.integers(0, 2**64 - 1).map(lambda bits: struct.unpack("d", struct.pack("Q", bits))[0])
texts = st.text(st.characters(codec=None, categories=None), max_size=300) | st.text("\ud800\udfff\udc80aé€😀")
numbers = st.integers() | st.integers(-(2**70), 2**70) | st.integers(0, 2**2000) | st.floats() | nan_payloads
atoms = st.none() | st.booleans() | numbers | texts | st.binary(max_size=300)
hashable = st.recursive(
    atoms,
    lambda inner: st.lists(inner, max_size=4).map(tuple) | st.frozensets(inner, max_size=4),
    max_leaves=6,
)
others = st.one_of(
    st.sampled_from([Colour.RED, Colour.BLUE, Level.LOW, int, len]),
    st.builds(Text, st.text(max_size=5)),
    st.integers().map(Whole),
    st.decimals(),
    st.fractions(),
    st.datetimes(timezones=st.none() | st.just(datetime.UTC)),
    st.timedeltas(),
    st.uuids(),
    st.complex_numbers(),
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


def samples() -> list[bytes]:
    items = [item for item in EDGES if sys.getsizeof(item) < 3000]
    items += [
        (42, "abc", 3.14, {"k": 1}),
        [SHARED, SHARED, {"a": (SHARED, "é", b"x", 2**80, {1, 2}, frozenset("ab"))}],
    ]
    return [encoded for item in items if (encoded := _encode(item)) is not None and len(encoded) < 2000]


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
@given(st.lists(st.sampled_from([*range(24), *range(0x40, 0x58), 0x80, 0x81, 0xFF]), max_size=80).map(bytes))
def test_random_operations(data: bytes) -> None:
    accept(data)
