"""NumPy's arrays and scalars in plain data: exactly in type, shape, order and content, or refused."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from codec_values import SETTINGS
from hypothesis import given
from plain_values import arrays, plain, plain_items, scalars, there_and_back

from conveyor.codecs.foreign_values import Damaged, build

SPARSE = np.dtype({"names": ["a", "b"], "formats": ["i1", "<f8"], "offsets": [3, 17], "itemsize": 40})
ALIGNED = np.dtype([("a", "i1"), ("b", "<f8")], align=True)
TITLED = np.dtype([(("a title", "a"), "i4"), ("b", "U3")])
NESTED = np.dtype([("at", "<M8[us]"), ("place", [("x", ">f4"), ("y", "f4", (2, 3))]), ("tag", "S5")])
OVERLAPPING = np.dtype({"names": ["whole", "low"], "formats": ["<u4", "<u2"], "offsets": [0, 0]})
TYPES = [
    *"?bhilqBHILQefdFD",
    "g",
    "G",
    ">i4",
    ">f8",
    ">c16",
    ">U3",
    "S7",
    "U2",
    "V5",
    "M8[ns]",
    "M8[25us]",
    ">m8[D]",
    "M8",
    "m8",
    SPARSE,
    ALIGNED,
    TITLED,
    NESTED,
    OVERLAPPING,
]


def same_array(got: Any, want: Any) -> None:
    assert type(got) is type(want)
    assert got.dtype == want.dtype
    assert got.dtype.isalignedstruct == want.dtype.isalignedstruct
    assert got.dtype.fields == want.dtype.fields
    assert got.shape == want.shape
    assert got.tobytes() == want.tobytes()


def of_type(kind: Any, shape: tuple[int, ...]) -> Any:
    dtype = np.dtype(kind)
    size = math.prod(shape) * dtype.itemsize
    content = np.random.default_rng(1).integers(0, 2 if dtype.kind in "bU" else 256, size, "u1")
    if dtype.names or dtype.kind == "U":
        content[:] = 0
    return np.ndarray(shape, dtype, bytearray(content.tobytes()))


class TestArrays:
    @pytest.mark.parametrize("kind", TYPES, ids=str)
    @pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3), (2, 0, 4), (1, 2, 3, 4)], ids=str)
    def test_of_each_type_and_shape(self, kind: Any, shape: tuple[int, ...]) -> None:
        array = of_type(kind, shape)
        got = there_and_back(array)
        same_array(got, array)
        assert got.flags.writeable
        assert got.flags.c_contiguous

    @SETTINGS
    @given(arrays)
    def test_any(self, array: Any) -> None:
        got = there_and_back([array, 1])
        same_array(got[0], array)
        assert got[0].flags.f_contiguous == array.flags.f_contiguous

    def test_fortran_order_stays(self) -> None:
        array = np.asfortranarray(np.arange(12.0).reshape(3, 4))
        got = there_and_back(array)
        assert got.flags.f_contiguous
        assert not got.flags.c_contiguous
        assert (got == array).all()

    @pytest.mark.parametrize(
        "slices", [np.s_[::2], np.s_[:, 1:3], np.s_[::-1, ::-1], np.s_[1], np.s_[..., None]]
    )
    def test_what_lies_with_gaps_comes_back_without(self, slices: Any) -> None:
        array = np.arange(24, dtype=">i4").reshape(4, 6)[slices]
        got = there_and_back(array)
        same_array(got, array)

    def test_views_that_repeat(self) -> None:
        same_array(
            there_and_back(np.broadcast_to(np.arange(3), (4, 3))), np.broadcast_to(np.arange(3), (4, 3))
        )

    def test_the_same_array_is_the_same_again(self) -> None:
        array = np.arange(3)
        got = there_and_back({"a": array, "b": [array], "c": array.copy()})
        assert got["a"] is got["b"][0]
        got["a"][0] = 9
        assert got["c"][0] == 0

    def test_many_among_other_things(self) -> None:
        item = [(number, np.full(number, number), f"text {number}") for number in range(50)]
        for got, want in zip(there_and_back(item), item, strict=True):
            assert got[0] == want[0]
            same_array(got[1], want[1])
            assert got[2] == want[2]

    def test_records(self) -> None:
        array = np.zeros(3, np.dtype((np.record, [("x", "i4")])))
        got = there_and_back([array, array[1]])
        assert got[0].dtype.type is np.record
        assert type(got[1]) is np.record

    def test_in_a_queues_memory_it_lies_where_it_came(self) -> None:
        array = np.arange(1000.0).reshape(10, 100)
        header, buffers = plain.dumps({"a": array, "b": np.asfortranarray(array)})
        assert [memoryview(each).nbytes for each in buffers[1:]] == [8000, 8000]
        views = [memoryview(bytearray(each)) for each in buffers]
        got = plain.loads(memoryview(header), views)
        assert np.shares_memory(got["a"], np.frombuffer(views[1]))
        assert (got["a"] == array).all()
        assert (got["b"] == array).all()
        assert got["b"].flags.f_contiguous


class TestScalars:
    @SETTINGS
    @given(scalars)
    def test_any(self, scalar: Any) -> None:
        got = there_and_back((scalar,))[0]
        assert type(got) is type(scalar)
        assert got.dtype == scalar.dtype
        assert got.tobytes() == scalar.tobytes()

    @pytest.mark.parametrize(
        "scalar",
        [
            np.float64(-0.0),
            np.float32(1.5),
            np.longdouble(1) / 3,
            np.int64(5),
            np.longlong(5),
            np.uint8(200),
            np.bool_(True),
            np.complex64(1j),
            np.datetime64("2024-02-29T12", "h"),
            np.datetime64("NaT", "s"),
            np.timedelta64(5, "W"),
            np.str_("text\0"),
            np.str_("\ud800"),
            np.bytes_(b"bytes\0\0"),
            np.void(b"abc"),
            np.zeros(1, ALIGNED)[0],
            np.zeros(1, NESTED)[0],
        ],
        ids=lambda scalar: type(scalar).__name__,
    )
    def test_each(self, scalar: Any) -> None:
        got = there_and_back([scalar])[0]
        assert type(got) is type(scalar)
        assert got.dtype == scalar.dtype
        if isinstance(scalar, str | bytes):
            assert len(got) == len(scalar)
            assert list(got) == list(scalar)
        elif isinstance(scalar, np.longdouble):
            assert got == scalar
        else:
            assert got.tobytes() == scalar.tobytes()

    @pytest.mark.parametrize("kind", [np.longdouble, np.clongdouble])
    def test_what_lay_in_memory_beside_a_long_double_stays_here(self, kind: Any) -> None:
        # The six bytes behind the number are those of a pointer, as a rule.
        bodies = {plain.encode(kind(1) / 3) for _ in range(20) if [object() for _ in range(100)]}
        assert len(bodies) == 1

    def test_as_keys(self) -> None:
        item = {np.int8(3): 1, np.str_("k"): 2, np.float32(2.5): 3}
        got = there_and_back(item)
        assert got == item
        assert list(map(type, got)) == list(map(type, item))

    def test_a_python_float_stays_one(self) -> None:
        assert type(there_and_back([1.5])[0]) is float


class TestAmongOthers:
    @SETTINGS
    @given(plain_items)
    def test_everything_at_once(self, item: Any) -> None:
        once = plain.encode(item)
        assert plain.encode(plain.decode(once)) == plain.encode(plain.decode(once))
        assert repr(plain.decode(once)) == repr(item) or "{" in repr(item)  # sets may come in another order


class Marked(np.ndarray[Any, Any]):
    pass


class TestRefusals:
    @pytest.mark.parametrize(
        ("value", "why"),
        [
            (np.array([object()]), "whose dtype .* has Python objects"),
            (np.zeros(2, [("a", "i4"), ("b", "O")]), "whose dtype .* has Python objects"),
            (np.zeros(2, [("a", [("b", "O")])])[0], "whose dtype .* has Python objects"),
            (np.ma.masked_array([1, 2], [True, False]), r"numpy\.ma.*MaskedArray, which is no plain data"),
            (np.zeros(3).view(Marked), r"test_plain_arrays\.Marked, which is no plain data"),
            (np.zeros(3, [("a", "i4")]).view(np.recarray), "recarray, which is no plain data"),
            (np.zeros(2, np.dtype("f8", metadata={"unit": "m"})), "has metadata"),
            (np.dtype("f8"), "which is no plain data"),
            (np.array(["a"], np.dtypes.StringDType()), "whose dtype"),
        ],
        ids=str,
    )
    def test_name_the_place_and_why(self, value: Any, why: str) -> None:
        with pytest.raises(
            TypeError, match=rf"^codec 'plain' cannot carry item\['k'\]\[1\], of type .*{why}"
        ):
            plain.encode({"k": [1, value]})

    def test_a_type_that_is_described_wrongly(self) -> None:
        with pytest.raises(Damaged):
            build(("array", "|O8", (1,), "C"), bytearray(8))
        with pytest.raises(Damaged, match="another kind of machine"):
            build(("scalar", ("<f16", 112), bytes(16)), None)
