"""The codec `plain` carries plain data exactly, and refuses everything else with its place and its name."""

from __future__ import annotations

import collections
import datetime
import decimal
import enum
import io
import subprocess
import sys
import uuid
import zoneinfo
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from codec_values import SETTINGS, natives, same, through_pickle
from hypothesis import given
from plain_values import moments, plain, there_and_back

import conveyor

BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
MOMENT = datetime.datetime(2024, 10, 27, 2, 30, 1, 4)


class Level(enum.IntEnum):
    LOW = 1


class Words(str):
    __slots__ = ()


class Zone(datetime.tzinfo):
    def utcoffset(self, _: datetime.datetime | None) -> datetime.timedelta:
        return datetime.timedelta(0)


Point = collections.namedtuple("Point", "x y")


class TestExactly:
    @SETTINGS
    @given(natives)
    def test_what_pickle_would_give(self, item: Any) -> None:
        same(there_and_back(item), through_pickle(item), plain=True)

    @pytest.mark.parametrize(
        "item",
        [
            None,
            10**5000,
            -(2**63),
            -(2**63) - 1,
            -(2**20_000),
            "a" * 1_000_000,
            "ä" * 100_000,
            "€" * 100_000,
            "😀" * 100_000,
            "\ud800 lone",
            b"x" * 5_000_000,
            bytearray(),
            bytearray(b"changes"),
            [bytearray(b"x" * 100_000)],
            Decimal("-0.0"),
            Decimal("sNaN123"),
            Decimal(1) / Decimal(7),
            Decimal("1." + "3" * 255),
            Decimal("-9" * 1 + "9" * 5000 + "E-77"),
            uuid.UUID(int=5, is_safe=uuid.SafeUUID.safe),
            {1.5, frozenset({2, (3, "x")})},
            {(1, (2, frozenset({b"k"}))): {"v": [{}]}, None: ()},
            1j,
            datetime.timedelta(-1, 2, 3),
        ],
        ids=lambda item: f"{type(item).__name__}-{str(plain.encode(item)[:9])[2:-1]}",
    )
    def test_examples(self, item: Any) -> None:
        same(there_and_back(item), through_pickle(item), plain=True)

    def test_a_bytearray_is_a_new_one(self) -> None:
        item = bytearray(b"abc")
        got = there_and_back([item, item])
        got[0].append(1)
        assert got[1] == b"abc\x01"
        assert item == b"abc"


class TestTimeZones:
    @SETTINGS
    @given(moments)
    def test_come_back(self, moment: Any) -> None:
        got = there_and_back(moment)
        assert type(got) is type(moment)
        assert repr(got) == repr(moment)
        assert got.fold == moment.fold
        assert type(got.tzinfo) is type(moment.tzinfo)
        assert got.replace(tzinfo=None) == moment.replace(tzinfo=None)

    def test_a_zone_of_the_system_is_the_one_that_is_there(self) -> None:
        got = there_and_back([MOMENT.replace(tzinfo=BERLIN, fold=1), MOMENT.replace(tzinfo=BERLIN), BERLIN])
        assert [got[0].tzinfo, got[1].tzinfo, got[2]] == [BERLIN] * 3
        assert got[0].tzinfo is BERLIN
        assert (got[0].fold, got[1].fold) == (1, 0)
        assert got[0].utcoffset() != got[1].utcoffset()

    def test_one_of_its_own_stays_one_of_its_own(self) -> None:
        own = zoneinfo.ZoneInfo.no_cache("Europe/Berlin")
        got = there_and_back([MOMENT.replace(tzinfo=own), own])
        assert got[1] is not BERLIN
        assert got[1].key == "Europe/Berlin"
        assert got[0].tzinfo is got[1]

    def test_a_fixed_offset_with_and_without_a_name(self) -> None:
        zone = datetime.timezone(datetime.timedelta(hours=1, microseconds=1), "MEZ")
        plain_zone = datetime.timezone(datetime.timedelta(hours=1))
        got = there_and_back([zone, plain_zone, datetime.UTC])
        assert got[0].tzname(None) == "MEZ"
        assert got[1].tzname(None) == "UTC+01:00"
        assert got[2] is datetime.UTC
        assert got[:2] == [zone, plain_zone]

    def test_a_moment_may_be_a_key(self) -> None:
        item = {MOMENT.replace(tzinfo=BERLIN): 1, MOMENT.replace(tzinfo=datetime.UTC): 2}
        assert there_and_back(item) == item

    def test_a_zone_without_a_name_is_refused(self) -> None:
        file = io.BytesIO((Path(zoneinfo.TZPATH[0]) / "Europe/Berlin").read_bytes())
        zone = zoneinfo.ZoneInfo.from_file(file)
        with pytest.raises(
            TypeError,
            match=r"the time zone of a value in item, of type zoneinfo\.ZoneInfo, which is not known",
        ):
            plain.encode([MOMENT.replace(tzinfo=zone)])

    def test_one_of_the_users_own_is_refused(self) -> None:
        with pytest.raises(
            TypeError, match=r"the time zone of a value in item\['at'\], of type test_plain\.Zone, which"
        ):
            plain.encode({"at": [1, MOMENT.replace(tzinfo=Zone())]})


class TestReferences:
    def test_the_same_object_is_the_same_again(self) -> None:
        shared: dict[str, int] = {}
        pair = (1, 2.5)
        got = there_and_back([shared, [shared], (shared,), pair, pair, [pair]])
        assert got[0] is got[1][0] is got[2][0]
        assert got[3] is got[4] is got[5][0]

    def test_containers_that_contain_themselves(self) -> None:
        loop: list[Any] = []
        loop.append(loop)
        got = there_and_back(loop)
        assert got[0] is got
        table: dict[str, Any] = {}
        table["in"] = [table, (table,)]
        got = there_and_back(table)
        assert got["in"][0] is got is got["in"][1][0]

    def test_a_tuple_that_contains_itself_is_refused(self) -> None:
        inner: list[Any] = []
        item = (inner,)
        inner.append(item)
        with pytest.raises(ValueError, match="of type tuple, which contains itself"):
            plain.encode({"k": [1, item]})

    def test_what_is_hashed_refers_to_nothing_that_takes_long_to_hash(self) -> None:
        key = (1, ("a" * 20, frozenset({2})))
        item = [key, {key: key}, {key, (key, key)}]
        got = there_and_back(item)
        assert got == item
        # The hash of this would take 2**60 steps if the second tuple could refer to the first.
        bomb: Any = (1, 2)
        for _ in range(60):
            bomb = [bomb, bomb]
        assert there_and_back(bomb)[0][0] is not None


class TestDepth:
    def test_256_levels(self) -> None:
        item: list[Any] = []
        for _ in range(255):
            item = [item]
        got = there_and_back(item)
        for _ in range(255):
            [got] = got
        assert got == []

    @pytest.mark.parametrize("kind", ["list", "tuple", "dict", "frozenset"])
    def test_one_more_is_refused(self, kind: str) -> None:
        wrap: Any = {
            "list": lambda inner: [inner],
            "tuple": lambda inner: (inner,),
            "dict": lambda inner: {"k": inner},
            "frozenset": lambda inner: frozenset({inner}),
        }[kind]
        item: Any = frozenset() if kind == "frozenset" else ()
        for _ in range(255):
            item = wrap(item)
        same(there_and_back(item), through_pickle(item), plain=True)
        with pytest.raises(ValueError, match="which is nested deeper than 256 levels"):
            plain.encode(wrap(item))

    def test_a_chain_of_references_counts_as_deep_as_it_is(self) -> None:
        chain: list[Any] = [()]
        for _ in range(254):
            chain.append((chain[-1],))
        assert len(there_and_back(chain)) == 255
        chain.append((chain[-1],))
        with pytest.raises(ValueError, match="nested deeper than 256 levels"):
            plain.encode(chain)


class TestRefusals:
    @pytest.mark.parametrize(
        ("item", "place", "kind"),
        [
            (object(), "the item", "object"),
            ([1, {"a": (2, object())}], r"item\[1\]\['a'\]\[1\]", "object"),
            ({object(): 1}, "a key of item", "object"),
            ({"k": {(1, object())}}, r"an element of item\['k'\]\[1\]", "object"),
            ({"k": {object()}}, r"an element of item\['k'\]", "object"),
            ([Level.LOW], r"item\[0\]", r"test_plain\.Level"),
            ([Words("x")], r"item\[0\]", r"test_plain\.Words"),
            ([Point(1, 2)], r"item\[0\]", r"test_plain\.Point"),
            ([collections.OrderedDict()], r"item\[0\]", r"collections\.OrderedDict"),
            ([memoryview(b"x")], r"item\[0\]", "memoryview"),
            ([range(3)], r"item\[0\]", "range"),
            ([...], r"item\[0\]", "ellipsis"),
            ({1: {"x" * 100: len}}, r"item\[1\]\['x{39}\.\.\.\]", "builtin_function_or_method"),
            ({b"k": [int]}, r"item\[b'k'\]\[0\]", "type"),
        ],
    )
    def test_name_the_place_and_the_type(self, item: Any, place: str, kind: str) -> None:
        with pytest.raises(
            TypeError, match=f"^codec 'plain' cannot carry {place}, of type {kind}, which is no plain data; "
        ):
            plain.encode(item)

    def test_name_the_codecs_that_could(self) -> None:
        with pytest.raises(
            TypeError, match=r"codecs that could carry it: 'pickle' with key=.*'msgpack'.*'json'"
        ):
            plain.encode([Level.LOW])
        with pytest.raises(TypeError, match=r"it: 'pickle' with key=\.\.\. \(signed\)$"):
            plain.encode([object()])
        with pytest.raises(TypeError, match=r"no codec of conveyor's could carry it$"):
            plain.encode([lambda: None])

    def test_a_long_way(self) -> None:
        item: Any = object()
        for _ in range(50):
            item = [item]
        with pytest.raises(
            TypeError, match=r"carry item\[0\]\[0\]\[0\]\[0\]\.\.\.\[0\]\[0\]\[0\]\[0\], of type"
        ):
            plain.encode(item)

    def test_a_date_that_there_is_not(self) -> None:
        with pytest.raises(ValueError, match=r"item\[0\], of type datetime\.date, whose content"):
            plain.encode([datetime.date(b"\x07\xd0\x02\x1f")])  # type: ignore[call-overload]

    def test_leave_nothing_behind(self) -> None:
        for _ in range(3):
            with pytest.raises(TypeError):
                plain.encode([["x", ["y"]], object()])
            same(there_and_back(["x", "x", ["x"]]), through_pickle(["x", "x", ["x"]]))

    def test_decimal_of_another_implementation(self) -> None:
        class Mine(decimal.Decimal):
            pass

        with pytest.raises(TypeError, match=r"Mine, which is no plain data"):
            plain.encode({"price": Mine("1.5")})


class TestInAQueue:
    def test_the_codec_of_a_local_queue(self) -> None:
        queue: conveyor.Queue[Any] = conveyor.Queue(codec="plain")
        for item in (None, {"a": [1, (2,)]}, MOMENT.replace(tzinfo=BERLIN), 10**100):
            queue.put(item)
            same(queue.get(), through_pickle(item))
        with pytest.raises(TypeError, match="no plain data"):
            queue.put(object())
        assert queue.empty()


def test_numpy_and_zones_are_imported_only_for_what_is_theirs() -> None:
    program = """
import sys
from conveyor.codecs import resolve
plain = resolve("plain")
body = plain.encode([None, 1, {"a": (b"x", 2.5)}, {3}])
plain.decode(body)
print(sorted({"numpy", "zoneinfo", "datetime", "decimal", "uuid", "pickle", "multiprocessing"} & set(sys.modules)))
"""
    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "[]\n"
