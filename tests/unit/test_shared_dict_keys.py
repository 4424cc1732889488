"""Which keys of a SharedDict are one, as in a plain dict, and what cannot be a key."""

from __future__ import annotations

import datetime
import enum
import math
import uuid
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple

import numpy as np
import pytest

from conveyor import SharedDict


class Colour(enum.Enum):
    RED = 1


class Level(enum.IntEnum):
    LOW = 1


class Name(enum.StrEnum):
    A = "a"


class Point(NamedTuple):
    x: int
    y: int


@dataclass(frozen=True)
class Place:
    name: str
    floor: int = 0


UTC = datetime.UTC
EARLIER = datetime.timezone(datetime.timedelta(hours=-2))
NOON = datetime.datetime(2026, 1, 1, 12)
EQUAL = [
    (1, True),
    (1, 1.0),
    (0, -0.0),
    (1, Decimal("1.00")),
    (1, Fraction(1)),
    (1, 1 + 0j),
    (1, np.int64(1)),
    (1, Level.LOW),
    (0.5, Fraction(1, 2)),
    (0.5, Decimal("0.5")),
    (0.5, np.float64(0.5)),
    (Decimal("0.1"), Fraction(1, 10)),
    (2**70, float(2**70)),
    ("a", Name.A),
    ("a", np.str_("a")),
    ((1, 2), (1.0, True + 1)),
    ((1, 2), Point(1, 2)),
    (frozenset({1, "b", (2,)}), frozenset({(2.0,), "b", True})),
    (NOON.replace(tzinfo=UTC), (NOON - datetime.timedelta(hours=2)).replace(tzinfo=EARLIER)),
    (NOON, NOON.replace(fold=1)),
    (uuid.UUID(int=7), uuid.UUID(int=7, is_safe=uuid.SafeUUID.safe)),
    (Place("x"), Place("x")),
    (Colour.RED, Colour.RED),
    ("x" * 100_000, "x" * 99_999 + "x"),
    (10**50_000, 10**50_000 + 0),
    (PurePosixPath("/a"), PurePosixPath("/", "a")),
    (PurePosixPath("a//b/"), Path("a/b")),
    (PureWindowsPath("C:/A"), PureWindowsPath("c:\\a")),
    (PurePosixPath(""), PurePosixPath(".")),
]
DIFFERENT = [
    1, 2, "1", b"1", None, 0, "", b"", (), (1,), ((1,),), frozenset(), frozenset({1}), 1.5, Decimal("1.1"), 1.1, NOON,
    NOON.replace(tzinfo=UTC), NOON.date(), NOON.time(), datetime.timedelta(1), uuid.UUID(int=1), 1j, Colour.RED,
    Place("x"), Place("y"), "x" * 100_000, b"x" * 100_000, ("number", 1), ("pickle", b""), Fraction(1, 3), math.inf,
    math.nan, -math.inf, int, len, range(3), PurePosixPath("a"), PurePosixPath("A"),
    PureWindowsPath("a"), "ä", "\udc80", "🐍",
]  # fmt: skip


class TestKeys:
    @pytest.mark.parametrize(("one", "other"), EQUAL, ids=range(len(EQUAL)))
    def test_equal_ones_are_one(self, one: Any, other: Any) -> None:
        for first, second in ((one, other), (other, one)):
            shared = SharedDict({first: "first"})
            assert shared[second] == "first"
            shared[second] = "second"
            assert list(shared.items()) == [(first, "second")]
            assert type(next(iter(shared))) is type(first)
            del shared[second]
            assert not shared

    def test_different_ones_are_different(self) -> None:
        shared: SharedDict[Any, int] = SharedDict()
        for number, key in enumerate(DIFFERENT):
            shared[key] = number
        assert list(shared.values()) == list(range(len(DIFFERENT)))
        assert [repr(key) for key in shared] == [repr(key) for key in DIFFERENT]
        assert [shared[key] for key in DIFFERENT] == list(range(len(DIFFERENT)))

    @pytest.mark.parametrize(
        ("key", "says"),
        [
            ([1], "unhashable"),
            ((1, [2]), "unhashable"),
            (object(), "whose copies are not equal"),
            (datetime.time(1, tzinfo=UTC), "convert it"),
            (Decimal("1e999999"), "digits"),
        ],
    )
    def test_what_cannot_be_one(self, key: Any, says: str) -> None:
        shared: SharedDict[Any, int] = SharedDict()
        for call in (shared.get, shared.__getitem__, shared.__contains__, shared.pop):
            with pytest.raises(TypeError, match=says):
                call(key)
        with pytest.raises(TypeError, match=says):
            shared[key] = 1
        assert not shared

    def test_sharing_within_a_key_does_not_matter(self) -> None:
        text = "".join(["some ", "text"])
        shared = SharedDict({(text, text): 1, Place(text): 2})
        assert shared[("some text"[:4] + " text", "some text")] == 1
        assert shared[Place("some " + text[5:])] == 2
