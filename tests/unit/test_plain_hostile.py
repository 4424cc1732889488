"""Whatever bytes come: plain data or BadMessage, without code, without much memory, without much time."""

from __future__ import annotations

import datetime
import json
import re
import struct
import subprocess
import sys
import tracemalloc
import zoneinfo
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from codec_values import SETTINGS
from hypothesis import given
from hypothesis import strategies as st
from plain_values import decoded, flips, plain, plain_items

from conveyor.codecs import foreign_values
from conveyor.errors import BadMessage, CorruptSegment

# The words of the encoding that are needed here: object_ops.hpp.
ASCII8, BYTES8, BYTES32, TUPLE8, TUPLE32, LIST8, LIST32, DICT8, DICT32, SET, FROZENSET, REFERENCE = (
    *(8, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23),
)
DATETIME_ZONE, FOREIGN, PREAMBLE, REMEMBERED, SMALL_INT = 34, 35, 0x3F, 0x40, 0x80
NONE = 0


def number32(value: int) -> bytes:
    return struct.pack("<I", value)


def with_preamble(descriptions: Any, rest: bytes, tree: bytes = bytes([FOREIGN, 0, 0, 0, 0])) -> bytes:
    written = plain.encode(descriptions)
    return bytes([PREAMBLE]) + number32(len(written)) + written + rest + tree


def test_the_words_are_those_of_the_encoding() -> None:
    text = (Path(__file__).parents[2] / "src/conveyor/_native/codec/object_ops.hpp").read_text()
    numbers = {f"op_{name}": int(number) for name, number in re.findall(r"LEAF\((\w+), (\d+), \d+\)", text)}
    assert numbers["op_uuid"] == 30  # docs/codecs.md
    following = 0
    for line in text.partition("enum Op")[2].partition("{")[2].partition("}")[0].splitlines():
        if "CONVEYOR" in line:  # those with a number of their own
            continue
        for word in filter(None, (each.strip() for each in line.split("//")[0].split(","))):
            name, _, value = word.partition(" = ")
            numbers[name] = following = int(value, 0) if value else following
            following += 1
    assert numbers["op_bytes32"] == BYTES32
    assert numbers["op_reference"] == REFERENCE
    assert numbers["op_frozenset"] == FROZENSET
    assert numbers["op_datetime_zone"] == DATETIME_ZONE
    assert numbers["op_foreign"] == FOREIGN
    assert numbers["op_preamble"] == PREAMBLE


class TestAnyBytes:
    @SETTINGS
    @given(st.binary(max_size=200))
    def test_at_random(self, content: bytes) -> None:
        decoded(content)

    @SETTINGS
    @given(st.lists(st.sampled_from([*range(0x40), *range(0x40, 0x80), 0x80, 0x81, 0xFF]), max_size=60))
    def test_of_words_of_the_encoding(self, words: list[int]) -> None:
        decoded(bytes(words))

    @SETTINGS
    @given(plain_items, st.lists(st.integers(0, 10**6), min_size=1, max_size=4))
    def test_with_bits_turned_over(self, item: Any, positions: list[int]) -> None:
        decoded(flips(plain.encode(item), positions))

    @SETTINGS
    @given(plain_items)
    def test_cut_short_or_with_more(self, item: Any) -> None:
        body = plain.encode(item)
        for end in {*range(min(len(body), 50)), len(body) // 2, len(body) - 1}:
            with pytest.raises(BadMessage):
                plain.decode(body[:end])
        with pytest.raises(BadMessage):
            plain.decode(body + b"\x00")

    @SETTINGS
    @given(plain_items, st.lists(st.integers(0, 10**6), min_size=1, max_size=3), st.integers(0, 3))
    def test_in_the_parts_of_a_queue(self, item: Any, positions: list[int], which: int) -> None:
        _, buffers = plain.dumps(item)
        parts = [bytes(each) for each in buffers]
        which %= len(parts)
        if parts[which]:
            parts[which] = flips(parts[which], positions)
        with suppress(CorruptSegment):
            plain.loads(memoryview(b""), [memoryview(bytearray(each)) for each in parts])

    def test_nothing(self) -> None:
        with pytest.raises(BadMessage, match="damaged before byte 0 of 0"):
            plain.decode(b"")


def peak_of(body: bytes, decode: Callable[[bytes], Any] = plain.decode) -> int:
    """Bytes that Python allocates at most while it refuses them."""
    tracemalloc.start()
    try:
        with pytest.raises((BadMessage, CorruptSegment)):
            decode(body)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


class TestMemory:
    @pytest.mark.parametrize(
        "word", [9, 10, 11, 12, BYTES32, TUPLE32, LIST32, DICT32, SET, FROZENSET, 31, 32]
    )
    @pytest.mark.parametrize("length", [100, 2**31 - 1, 2**32 - 1])
    def test_an_announced_length_is_not_believed(self, word: int, length: int) -> None:
        for mark in (0, REMEMBERED):
            assert peak_of(bytes([word | mark]) + number32(length) + b"\x00" * 50) < 20_000

    @pytest.mark.parametrize("word", [TUPLE32, LIST32])
    def test_nested_lies_about_lengths(self, word: int) -> None:
        # Each of 200 containers announces as many elements as bytes follow: 200 times 8 bytes for each.
        filler = 100_000
        body = (
            b"".join(bytes([word]) + number32(filler + 5 * (199 - level)) for level in range(200))
            + b"\x00" * filler
        )
        assert peak_of(body) < 12 * len(body)

    def test_an_array_that_is_not_there(self) -> None:
        decoded(with_preamble([("array", "<f8", (0,), "C")], b""))  # imports what it needs
        for shape in [(2**40,), (2**31, 2**31), (2**62, 2**62), (2**62, 0, 2**62), (2**64,), (-1,), (True,)]:
            assert peak_of(with_preamble([("array", "<f8", shape, "C")], b"")) < 100_000, shape

    def test_a_type_that_is_enormous(self) -> None:
        for kind in ["<U999999999", "|S99999999999", "|V2147483648", ("of", "<f8", (2**20, 2**20))]:
            with pytest.raises(BadMessage):
                plain.decode(with_preamble([("array", kind, (1,), "C")], b""))


class TestDepth:
    @pytest.mark.parametrize("word", [TUPLE8, LIST8, SET, FROZENSET, DICT8])
    def test_a_million_levels(self, word: int) -> None:
        level = bytes([word]) + (number32(1) if word in (SET, FROZENSET) else b"\x01")
        for body in (level * 1_000_000, level * 257 + b"\x00", level * 100_000 + b"\x00" * 100_000):
            with pytest.raises(BadMessage):
                plain.decode(body)

    def test_a_chain_of_references(self) -> None:
        """Each tuple refers to the one before: hashing the last would take C's stack a hundred thousand deep."""
        count = 100_000
        chain = b"".join(
            bytes([TUPLE8 | REMEMBERED, 1, REFERENCE]) + number32(number) for number in range(count)
        )
        body = bytes([LIST32]) + number32(count + 1) + bytes([TUPLE8 | REMEMBERED, 0]) + chain
        with pytest.raises(BadMessage):
            plain.decode(body)


class TestTime:
    """The hash of a tuple of twice the same tuple of twice the same ... takes twice as long for each level."""

    DOUBLING = b"".join(
        bytes([TUPLE8 | REMEMBERED, 2, REFERENCE]) + number32(number) + bytes([REFERENCE]) + number32(number)
        for number in range(60)
    )

    def test_as_a_value_it_is_harmless(self) -> None:
        got = plain.decode(bytes([LIST8, 61, TUPLE8 | REMEMBERED, 0]) + self.DOUBLING)
        assert got[60][0] is got[60][1] is got[59]

    def test_as_a_key_it_is_refused(self) -> None:
        last = bytes([REFERENCE]) + number32(60)
        head = bytes([LIST8, 62, TUPLE8 | REMEMBERED, 0]) + self.DOUBLING
        for container in (
            bytes([DICT8, 1]) + last + b"\x00",
            bytes([SET]) + number32(1) + last,
            bytes([FROZENSET]) + number32(1) + bytes([TUPLE8, 1]) + last,
        ):
            with pytest.raises(BadMessage):
                plain.decode(head + container)

    def test_nor_can_it_be_said_within_a_key(self) -> None:
        key = bytes([TUPLE8, 61, TUPLE8 | REMEMBERED, 0]) + self.DOUBLING
        with pytest.raises(BadMessage):
            plain.decode(bytes([DICT8, 1]) + key + b"\x00")

    def test_a_text_may_be_a_key_twice(self) -> None:
        text = bytes([ASCII8 | REMEMBERED, 2]) + b"ab"
        body = (
            bytes([LIST8, 2, DICT8, 1])
            + text
            + bytes([NONE, DICT8, 1, REFERENCE])
            + number32(0)
            + bytes([NONE])
        )
        assert plain.decode(body) == [{"ab": None}, {"ab": None}]


class TestWhatIsNoData:
    @pytest.mark.parametrize(
        "tree",
        [
            bytes([DICT8, 1, LIST8, 0, NONE]),  # a list as a key
            bytes([SET]) + number32(1) + bytes([DICT8, 0]),
            bytes([DICT8, 2, SMALL_INT, NONE, SMALL_INT, NONE]),  # a key twice
            bytes([SET]) + number32(2) + bytes([SMALL_INT, SMALL_INT]),
            bytes([TUPLE8 | REMEMBERED, 1, REFERENCE]) + number32(0),  # a tuple in itself
            bytes([REFERENCE]) + number32(0),
            bytes([FOREIGN]) + number32(0),
            bytes([DATETIME_ZONE]) + bytes([7, 232, 1, 1, 0, 0, 0, 0, 0, 0, 0]) + bytes([NONE]),
            bytes([PREAMBLE]),
            bytes([PREAMBLE]) + number32(2**32 - 1),
            bytes([PREAMBLE]) + number32(1) + bytes([NONE]) + bytes([NONE]),
            bytes([ASCII8, 1, 0x80]),
            bytes([12]) + number32(1) + number32(0x110000),
        ],
    )
    def test_is_refused(self, tree: bytes) -> None:
        with pytest.raises(BadMessage, match="no plain data"):
            plain.decode(tree)

    @pytest.mark.parametrize(
        "description",
        [
            None,
            (),
            ("array",),
            ("array", "<f8", [1], "C"),
            ("array", "|O", (0,), "C"),
            ("array", "<f8,O", (0,), "C"),
            ("array", "O8", (0,), "C"),
            ("array", "<f7", (0,), "C"),
            ("array", "<f8", (0,), "X"),
            ("array", "<f8", (0,), b"C"),
            ("array", "<M8[nonsense]", (0,), "C"),
            ("array", "<f8", (0,) * 100, "C"),
            ("array", ("struct", 8, False, [("a", None, 0, "|O")]), (0,), "C"),
            ("array", ("struct", 4, False, [("a", None, 0, "<f8")]), (0,), "C"),
            ("array", ("struct", 8, False, [("a", None, -8, "<f8")]), (0,), "C"),
            ("array", ("struct", 8, False, [("a", None, 0, "<f4"), ("a", None, 4, "<f4")]), (0,), "C"),
            ("array", ("struct", 8, False, [(b"a", None, 0, "<f4")]), (0,), "C"),
            ("array", ("struct", -1, False, []), (0,), "C"),
            ("array", ("struct", 8, False, [1]), (0,), "C"),
            ("array", ("of", "<f8", (-1,)), (0,), "C"),
            ("scalar", "<f8", b"1234567"),
            ("scalar", "<f8", "12345678"),
            ("scalar", ("of", "<f8", (1,)), bytes(8)),
            ("scalar", "<U1", struct.pack("<I", 0x110000)),
            ("scalar", ("struct", 4, False, [("a", None, 0, "<U1")]), struct.pack("<I", 0x110000)),
            ("text", b"x"),
            ("bytes", "x"),
            ("offset", 5),
            ("offset",),
            ("zone", "Europe/Nowhere", True),
            ("zone", "../../../etc/passwd", True),
            ("zone", "/etc/passwd", True),
            ("zone", "Europe/../../../../etc/passwd", False),
            ("zone", "", True),
            ("zone", "Europe", True),
            ("zone", "a\0b", True),
            ("zone", b"UTC", True),
            ("zone", "UTC", 1),
            ("build", 1),
            ("__class__",),
        ],
        ids=repr,
    )
    def test_nor_is_what_is_described_wrongly(self, description: Any) -> None:
        with pytest.raises(BadMessage, match="no plain data"):
            plain.decode(with_preamble([description], b""))

    def test_an_array_is_no_time_zone(self) -> None:
        moment = bytes([DATETIME_ZONE, 7, 232, 1, 1, 0, 0, 0, 0, 0, 0, 0])
        tree = moment + bytes([FOREIGN]) + number32(0)
        with pytest.raises(BadMessage, match="no plain data"):
            plain.decode(with_preamble([("scalar", "<f8", bytes(8))], b"", tree))

    def test_an_array_of_text_that_there_is_not(self) -> None:
        for order in "<>":
            content = struct.pack(f"{order}I", 0x110000)
            with pytest.raises(BadMessage):
                plain.decode(with_preamble([("array", f"{order}U1", (1,), "C")], content))

    @SETTINGS
    @given(
        st.tuples(st.sampled_from(sorted(foreign_values._MAKERS)))  # pyright: ignore
        .flatmap(lambda word: st.lists(plain_items, max_size=4).map(lambda rest: (*word, *rest)))
        .filter(lambda description: "array" not in repr(description[1:]))
    )
    def test_any_description(self, description: Any) -> None:
        try:
            body = with_preamble([description], b"")
        except (TypeError, ValueError):
            return
        decoded(body)


# Under an audit hook nothing may happen that code in the bytes could have caused: see the events below.
AUDITED = """
import json, random, sys
import numpy, zoneinfo, datetime, decimal, uuid  # what a value may need
from conveyor.codecs import resolve
from conveyor.errors import BadMessage
plain = resolve("plain")
samples = [bytes.fromhex(each) for each in json.load(sys.stdin)]
for sample in samples:
    plain.decode(sample)
try:
    zoneinfo.ZoneInfo("Europe/Nowhere")  # imports what zoneinfo looks for unknown zones with
except zoneinfo.ZoneInfoNotFoundError:
    pass
harmless = ("object.", "gc.", "code.__new__", "sys._getframe", "cpython.")
seen = set()
def watch(event, arguments):
    if event == "open" and "zoneinfo" in str(arguments[0]) and ".." not in str(arguments[0]):
        return
    if event == "import" and str(arguments[0]).startswith(("tzdata", "importlib", "zoneinfo")):
        return
    if not event.startswith(harmless):
        seen.add((event, str(arguments)[:100]))
sys.addaudithook(watch)
chance = random.Random(1)
outcomes = [0, 0]
for turn in range(int(sys.argv[1])):
    content = bytearray(chance.choice(samples))
    for _ in range(chance.randrange(1, 5)):
        place = chance.randrange(len(content))
        match chance.randrange(3):
            case 0: content[place] ^= 1 << chance.randrange(8)
            case 1: content[place] = chance.randrange(256)
            case _: content[place:place] = chance.choice(samples)[: chance.randrange(20)]
    try:
        plain.decode(bytes(content))
        outcomes[0] += 1
    except BadMessage:
        outcomes[1] += 1
sys.stdout.write(json.dumps([outcomes, sorted(map(list, seen))]))
"""


def test_no_code_comes_with_the_bytes() -> None:
    samples = [
        plain.encode({"a": [1, (2.5, "text")], b"k": {1, frozenset({2})}}),
        plain.encode([np.arange(3), np.zeros(2, [("a", "i4"), ("b", "U2")]), np.float32(1)]),
        plain.encode([*map(np.str_, ["x", "y"]), *map(np.datetime64, ["2024-01-01"])]),
        bytes.fromhex(plain.encode([10**30, bytearray(b"x"), 1j]).hex()),
    ]
    moment = datetime.datetime(2024, 1, 1, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin"))
    samples.append(plain.encode([moment, moment.replace(tzinfo=datetime.UTC), moment.timetz()]))
    done = subprocess.run(
        [sys.executable, "-c", AUDITED, "3000"],
        input=json.dumps([each.hex() for each in samples]),
        capture_output=True,
        text=True,
        check=True,
    )
    outcomes, seen = json.loads(done.stdout)
    assert not seen
    assert min(outcomes) > 50, "the samples are all sound, or all damaged: this tests nothing"
