"""The codecs beside the core's own: what they keep, what they refuse, and that damage is an error."""

from __future__ import annotations

import contextlib
import decimal
import enum
import math
import uuid
from collections import OrderedDict, namedtuple
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conveyor import codecs
from conveyor.codecs import resolve
from conveyor.errors import CorruptSegment

SETTINGS = settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
SHIPPED = ("plain", "msgpack", "json", "arrow", "raw")

Stored = tuple[bytearray, list[bytearray]]
Point = namedtuple("Point", "x y")


class Level(enum.IntEnum):
    LOW = 1


def stored(codec: codecs.Codec, item: Any) -> Stored:
    """What a queue keeps of the item: buffers copied, writers called on memory that is not clean."""
    header, buffers = codec.dumps(item)
    kept = []
    for buffer in buffers:
        if hasattr(buffer, "write_into"):
            memory = bytearray(b"\xa5" * buffer.nbytes)
            with memoryview(memory) as view:  # leaving it fails if the writer kept the view
                buffer.write_into(view)
        else:
            memory = bytearray(memoryview(buffer).cast("B") if memoryview(buffer).nbytes else b"")
        kept.append(memory)
    return bytearray(header), kept


def loaded(codec: codecs.Codec, parts: Stored) -> Any:
    header, buffers = parts
    with memoryview(header) as view:  # leaving it fails if the codec kept the header
        return codec.loads(view, [memoryview(buffer) for buffer in buffers])


def there_and_back(name: str, item: Any) -> Any:
    codec = resolve(name)
    assert not isinstance(codec, str)
    return loaded(codec, stored(codec, item))


def same(a: Any, b: Any) -> bool:
    """Equal, of the same types, dicts in the same order; NaN is NaN and -0.0 is not 0.0."""
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return (a == b and math.copysign(1, a) == math.copysign(1, b)) or (math.isnan(a) and math.isnan(b))
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return same(list(a), list(b)) and same(list(a.values()), list(b.values()))
    return bool(a == b)


def nested(leaves: st.SearchStrategy[Any], keys: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(keys, inner), max_leaves=20)


SURROGATES = st.text(st.characters(exclude_categories=()))
JSON_ITEMS = nested(st.none() | st.booleans() | st.integers() | st.floats() | SURROGATES, SURROGATES)
MSGPACK_LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
)
MSGPACK_ITEMS = nested(MSGPACK_LEAVES | st.just(math.nan), MSGPACK_LEAVES)


class TestJson:
    @SETTINGS
    @given(JSON_ITEMS)
    def test_what_json_can_say_comes_back(self, item: Any) -> None:
        assert same(there_and_back("json", item), item)

    def test_is_compact_utf8(self) -> None:
        assert stored(resolve("json"), {"ä": [1, 2.5, None]}) == (b"", ['{"ä":[1,2.5,null]}'.encode()])

    @pytest.mark.parametrize(
        ("item", "changed"),
        [
            ((1, (2,)), [1, [2]]),
            ({1: "a", 2.5: "b", 2: "c"}, {"1": "a", "2.5": "b", "2": "c"}),
            ({None: 1, False: 2, True: 3}, {"null": 1, "false": 2, "true": 3}),
            ({1: "a", "1": "b"}, {"1": "b"}),
            (Point(1, 2), [1, 2]),
            (Level.LOW, 1),
            (OrderedDict(a=1), {"a": 1}),
        ],
    )
    def test_what_changes_is_as_documented(self, item: Any, changed: Any) -> None:
        assert same(there_and_back("json", item), changed)

    def test_a_pair_of_lone_surrogates_stays_a_pair(self) -> None:
        assert there_and_back("json", "\ud83d\ude00") == "\ud83d\ude00"

    @pytest.mark.parametrize(
        ("item", "text"),
        [
            (object(), "codec 'json' cannot take this item of type object: .*; it takes None, bool"),
            ([b"x"], "item of type list: .*bytes"),
            ({(1, 2): 3}, "keys must be str.*not tuple"),
            ({1, 2}, "type set"),
            (decimal.Decimal(1), r"type decimal\.Decimal"),
        ],
    )
    def test_what_json_cannot_say(self, item: Any, text: str) -> None:
        with pytest.raises(TypeError, match=text):
            resolve("json").dumps(item)

    def test_an_item_in_itself(self) -> None:
        item: list[Any] = []
        item.append(item)
        with pytest.raises(ValueError, match=r"codec 'json' cannot take .* Circular"):
            resolve("json").dumps(item)

    def test_too_deep(self) -> None:
        with pytest.raises(RecursionError):
            loaded(resolve("json"), (bytearray(), [bytearray(b"[" * 500_000)]))


class TestMsgpack:
    @SETTINGS
    @given(MSGPACK_ITEMS)
    def test_what_messagepack_can_say_comes_back(self, item: Any) -> None:
        assert same(there_and_back("msgpack", item), item)

    ID = uuid.uuid4()
    NOON: ClassVar = datetime(2024, 1, 1, 12, 0, 0, 123456)

    @pytest.mark.parametrize(
        ("item", "changed"),
        [
            ((1, (2,)), [1, [2]]),
            ({7}, [7]),
            (frozenset([7]), [7]),
            ({(1, 2): 3}, {(1, 2): 3}),
            (bytearray(b"x"), b"x"),
            (memoryview(b"x"), b"x"),
            (Point(1, 2), [1, 2]),
            (Level.LOW, 1),
            (OrderedDict(a=1), {"a": 1}),
            (decimal.Decimal("1.50"), "1.50"),
            (ID, str(ID)),
            (NOON, NOON.isoformat()),
            (NOON.replace(tzinfo=timezone(timedelta(hours=12))), NOON.replace(tzinfo=UTC, hour=0)),
            (date(2024, 1, 1), "2024-01-01"),
            (timedelta(days=1), "P1D"),
        ],
    )
    def test_what_changes_is_as_documented(self, item: Any, changed: Any) -> None:
        assert same(there_and_back("msgpack", item), changed)

    @pytest.mark.parametrize(
        ("item", "error", "text"),
        [
            (object(), TypeError, "codec 'msgpack' cannot take this item of type object: .*; it takes None"),
            ([1j], TypeError, "item of type list: .*complex"),
            (memoryview(b"1234")[::2], TypeError, "contiguous"),
            (2**64, ValueError, "item of type int: .*2\\*\\*64"),
            (["\ud800"], ValueError, "surrogates"),
        ],
    )
    def test_what_messagepack_cannot_say(self, item: Any, error: type[Exception], text: str) -> None:
        with pytest.raises(error, match=text):
            resolve("msgpack").dumps(item)

    def test_an_item_in_itself(self) -> None:
        item: list[Any] = []
        item.append(item)
        with pytest.raises(RecursionError):
            resolve("msgpack").dumps(item)

    @pytest.mark.parametrize(
        "damage",
        [
            b"",
            b"\xc1",
            b"\x01\x01",
            b"\xa1\xff",  # no UTF-8
            b"\x81\x80\x01",  # a dict as a key
            b"\xdd\xff\xff\xff\xff",  # a list of four thousand million items
            b"\xdd\x7f\xff\xff\xff" * 50,
            b"\xc6\xff\xff\xff\xff",
        ],
    )
    def test_lengths_are_not_believed(self, damage: bytes) -> None:
        with pytest.raises(CorruptSegment, match="codec 'msgpack' cannot read an item"):
            loaded(resolve("msgpack"), (bytearray(), [bytearray(damage)]))


class TestRaw:
    @pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
    @pytest.mark.parametrize("content", [b"", b"x", bytes(range(256)) * 300])
    def test_any_bytes(self, kind: Any, content: bytes) -> None:
        received = there_and_back("raw", kind(content))
        assert type(received) is memoryview
        assert received == content

    @pytest.mark.parametrize(
        "array",
        [
            np.arange(12).reshape(3, 4),
            np.array(5),
            np.zeros((3, 0)),
            np.arange(3, dtype=">i4"),
            np.zeros(3, dtype=[("a", "i4"), ("b", "f8")]),
        ],
    )
    def test_an_arrays_bytes(self, array: Any) -> None:
        _, [view] = resolve("raw").dumps(array)
        assert bytes(view) == array.tobytes()

    def test_nothing_is_copied(self) -> None:
        item = bytearray(1000)
        _, [view] = resolve("raw").dumps(item)
        assert view.obj is item
        memory = memoryview(bytearray(8))
        assert resolve("raw").loads(memoryview(b""), [memory]) is memory

    @pytest.mark.parametrize(
        ("item", "text"),
        [
            ("text", "codec 'raw' cannot take this item of type str: .*; it takes bytes.* encode a str"),
            (3, "type int"),
            (memoryview(b"1234")[::2], "type memoryview: .*C order"),
            (np.zeros((3, 4), order="F"), r"type numpy\.ndarray: .*C order"),
            (np.zeros(3, dtype="M8[s]"), r"type numpy\.ndarray"),
        ],
    )
    def test_what_is_not_bytes(self, item: Any, text: str) -> None:
        with pytest.raises(TypeError, match=text):
            resolve("raw").dumps(item)


class TestDamage:
    """Whatever lies there instead of an item, `loads` raises or makes something of it."""

    @pytest.mark.parametrize("name", SHIPPED)
    @pytest.mark.parametrize(
        "parts",
        [(b"", []), (b"x", [b""]), (b"T", []), (b"T", [b"", b""]), (b"Bx", [b""]), (b"X" * 99, [b"1"])],
    )
    def test_parts_of_another_shape(self, name: str, parts: Any) -> None:
        header, buffers = parts
        with pytest.raises(
            CorruptSegment, match=f"codec '{name}' cannot read an item, its bytes are damaged"
        ):
            loaded(resolve(name), (bytearray(header), [bytearray(buffer) for buffer in buffers]))

    @pytest.mark.parametrize(
        ("name", "item"),
        [("json", {"a": [1, 2.5, "ä", None, {"b": True}]}), ("msgpack", {"a": [1, 2.5, "ä", b"x", {3: -1}]})],
    )
    def test_any_byte_may_be_wrong(self, name: str, item: Any) -> None:
        codec = resolve(name)
        header, [whole] = stored(codec, item)
        for place in range(len(whole)):
            for value in range(256):
                buffer = bytearray(whole)
                buffer[place] = value
                self.either(codec, (header, [buffer]))
            self.either(codec, (header, [whole[:place]]))

    @pytest.mark.parametrize("name", SHIPPED)
    @SETTINGS
    @given(st.sampled_from([b"", b"T", b"B"]), st.binary())
    def test_noise(self, name: str, header: bytes, content: bytes) -> None:
        self.either(resolve(name), (bytearray(header), [bytearray(content)]))

    @staticmethod
    def either(codec: Any, parts: Stored) -> None:
        with contextlib.suppress(CorruptSegment):
            loaded(codec, parts)
