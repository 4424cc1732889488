"""SharedValue, SharedStruct and SharedArray within one process."""

from __future__ import annotations

import ctypes
import pickle
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import conveyor

RANGES = {
    "b": (-(2**7), 2**7 - 1),
    "B": (0, 2**8 - 1),
    "h": (-(2**15), 2**15 - 1),
    "H": (0, 2**16 - 1),
    "i": (-(2**31), 2**31 - 1),
    "I": (0, 2**32 - 1),
    "l": (-(2**63), 2**63 - 1),
    "L": (0, 2**64 - 1),
    "q": (-(2**63), 2**63 - 1),
    "Q": (0, 2**64 - 1),
}


class TestSharedValue:
    @pytest.mark.parametrize("code", RANGES)
    def test_each_integer_has_its_range_and_never_wraps(self, code: str) -> None:
        least, most = RANGES[code]
        value = conveyor.SharedValue(code, most)
        assert value.value == most
        with pytest.raises(OverflowError, match="does not fit; nothing was changed"):
            value.add(1)
        assert value.add(-1) == most - 1
        assert value.exchange(least) == most - 1
        with pytest.raises(OverflowError, match="does not fit; nothing was changed"):
            value.add(-1)
        for beyond in (least - 1, most + 1, 10**40, -(10**40)):
            with pytest.raises(OverflowError, match="the number must be from"):
                value.value = beyond
            with pytest.raises(OverflowError):
                value.compare_exchange(beyond, 0)
        assert value.compare_exchange(least, 5) is True
        assert value.compare_exchange(least, 6) is False
        assert value.value == 5

    @pytest.mark.parametrize("code", ["f", "d"])
    def test_floats(self, code: str) -> None:
        value = conveyor.SharedValue(code, 1.5)
        assert value.add(0.25) == 1.75
        assert value.compare_exchange(1.75, -0.0)
        assert value.compare_exchange(0.0, 2.0)
        value.value = float("inf")
        assert value.value == float("inf")
        if code == "f":
            with pytest.raises(OverflowError, match="32-bit"):
                value.value = 1e300

    def test_a_bool(self) -> None:
        value = conveyor.SharedValue(bool)
        assert value.value is False
        assert value.exchange([1]) is False
        assert value.compare_exchange(True, False) is True
        with pytest.raises(TypeError, match="add"):
            value.add(1)

    @pytest.mark.parametrize(
        ("kind", "code"),
        [
            (int, "q"),
            (float, "d"),
            (bool, "?"),
            (ctypes.c_int32, "i"),
            (ctypes.c_double, "d"),
            (np.dtype("u2"), "H"),
            (np.float32, "f"),
            (np.int8, "b"),
            (np.bool_, "?"),
            (np.uint64, "Q"),
        ],
    )
    def test_types(self, kind: Any, code: str) -> None:
        assert repr(conveyor.SharedValue(kind)).startswith(f"<SharedValue({code!r}, ")

    @pytest.mark.parametrize(
        "kind", [str, "x", ctypes.c_char_p, np.dtype(">i4"), np.complex128, None, [], "int"]
    )
    def test_what_is_no_number(self, kind: Any) -> None:
        if kind is None or kind == "int":
            pytest.importorskip("numpy")  # to which both are numbers
            conveyor.SharedValue(kind)
            return
        with pytest.raises(TypeError, match="no number of type"):
            conveyor.SharedValue(kind)

    def test_what_does_not_convert(self) -> None:
        value = conveyor.SharedValue("i")
        for wrong in ("1", 1.5, None):
            with pytest.raises(TypeError):
                value.value = wrong
            with pytest.raises(TypeError):
                value.add(wrong)

    def test_travels_and_has_a_lock(self) -> None:
        value = conveyor.SharedValue("i", 3)
        other = pickle.loads(pickle.dumps(value))
        other.add(4)
        assert value.value == 7
        with value.get_lock():
            assert other.get_lock()._depth == 1

    def test_threads_lose_nothing(self) -> None:
        value = conveyor.SharedValue("d")
        threads = [threading.Thread(target=lambda: [value.add(1) for _ in range(5000)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert value.value == 20_000

    def test_wait_for(self) -> None:
        value = conveyor.SharedValue()
        assert value.wait_for(lambda number: number > 0, timeout=0.01) is False
        assert value.wait_for(lambda number: number > 0, timeout=-1) is False
        seen: list[Any] = []
        thread = threading.Thread(target=lambda: seen.append(value.wait_for(lambda number: number >= 100)))
        thread.start()
        for _ in range(100):
            value.add()
        thread.join(30)
        assert seen == [True]


class Point(ctypes.Structure):
    _fields_ = (("x", ctypes.c_double), ("n", ctypes.c_int), ("name", ctypes.c_char * 8))


RECORD = np.dtype([("a", "f4"), ("b", "i8"), ("c", "i2", (3,)), ("packed", "u1")], align=True)


class TestSharedStruct:
    def test_ctypes(self) -> None:
        shared = conveyor.SharedStruct(Point, x=1.5, name=b"one")
        shared.n = 4
        other = pickle.loads(pickle.dumps(shared))
        assert (other.x, other.n, other.name) == (1.5, 4, b"one")
        assert other.add("x", 0.5) == 2.0
        assert other.exchange("n", 9) == 4
        assert other.compare_exchange("n", 9, 10)
        assert (shared.record.x, shared.record.n) == (2.0, 10)
        assert repr(shared) == "<SharedStruct(x=2.0, n=10, name=b'one')>"

    def test_numpy(self) -> None:
        shared = conveyor.SharedStruct(RECORD, a=0.5)
        shared.c = [1, 2, 3]
        other = pickle.loads(pickle.dumps(shared))
        assert other.add("b", 7) == 7
        assert (shared.a, shared.b, shared.c.tolist()) == (0.5, 7, [1, 2, 3])
        with pytest.raises(TypeError, match="no number"):
            shared.add("c")

    def test_the_lock(self) -> None:
        shared = conveyor.SharedStruct(Point)
        with shared as held:
            assert held is shared
            assert shared.get_lock()._is_mine()
        assert not shared.get_lock().locked()
        assert not shared.recovered

    def test_wrong_fields_and_kinds(self) -> None:
        shared: Any = conveyor.SharedStruct(Point)
        for use in (lambda: shared.y, lambda: setattr(shared, "y", 1), lambda: shared.add("y")):
            with pytest.raises(AttributeError, match="y"):
                use()
        with pytest.raises(TypeError, match="there is no field 'y'"):
            conveyor.SharedStruct(Point, y=1)
        for kind in (int, np.dtype("i4"), np.dtype([("o", object)]), "x", None):
            with pytest.raises(TypeError, match="kind is"):
                conveyor.SharedStruct(kind)
        packed = conveyor.SharedStruct(np.dtype([("one", "u1"), ("two", "i4")]))
        with pytest.raises(ValueError, match="not aligned"):
            packed.add("two")

    def test_wait_for_is_told_of_fields_and_blocks(self) -> None:
        shared = conveyor.SharedStruct(Point)
        seen: list[Any] = []
        thread = threading.Thread(
            target=lambda: seen.append(shared.wait_for(lambda s: s.n == 3 and s.x == 1))
        )
        thread.start()
        with shared:
            shared.record.n = 3
        shared.x = 1
        thread.join(30)
        assert seen == [True]

    def test_a_view_keeps_the_memory(self) -> None:
        record = conveyor.SharedStruct(Point, n=5).record
        assert record.n == 5


class TestSharedArray:
    def test_is_an_array(self) -> None:
        shared = conveyor.SharedArray((3, 4), "i4")
        shared[1] = 7
        assert shared[1, 2] == 7
        assert np.asarray(shared) is shared.array
        assert np.add(shared, 1).sum() == 40
        assert np.asarray(shared, dtype=float).dtype == float
        assert (shared.shape, shared.dtype, len(shared), shared.path) == ((3, 4), np.dtype("i4"), 3, None)
        assert not shared.array.flags.owndata
        assert shared.array.flags.aligned
        assert repr(shared) == "<SharedArray((3, 4), int32)>"

    def test_travels_without_a_copy(self) -> None:
        shared = conveyor.SharedArray(1000)
        other = pickle.loads(pickle.dumps(shared))
        other[:] = 1.5
        assert shared.array.sum() == 1500

    def test_a_view_keeps_the_memory(self) -> None:
        view = conveyor.SharedArray(10, "u1").array[5:]
        view[:] = 3
        assert view.sum() == 15

    @pytest.mark.parametrize("shape", [0, (), (0, 5), (2, 3, 4)])
    @pytest.mark.parametrize("dtype", ["?", "c16", "S5", "M8[s]", [("a", "i4"), ("b", "f8", (2,))], ">u2"])
    def test_shapes_and_types(self, shape: Any, dtype: Any) -> None:
        shared = conveyor.SharedArray(shape, dtype)
        other = pickle.loads(pickle.dumps(shared))
        assert other.array.dtype == np.dtype(dtype)
        assert other.array.shape == np.zeros(shape).shape

    def test_bad_arguments(self) -> None:
        with pytest.raises(ValueError, match="Python objects"):
            conveyor.SharedArray(3, object)
        with pytest.raises(ValueError, match="negative"):
            conveyor.SharedArray((3, -1))
        with pytest.raises(conveyor.OutOfMemory):
            conveyor.SharedArray(2**50, "u1")
        with pytest.raises(ValueError, match="without lock=True"), conveyor.SharedArray(3):
            pass

    def test_the_lock(self) -> None:
        shared = conveyor.SharedArray(3, lock=True)
        with shared as array:
            assert array is shared.array
            assert pickle.loads(pickle.dumps(shared)).get_lock().locked()
        assert not shared.recovered


class TestSharedArrayInAFile:
    def test_persists(self, tmp_path: Path) -> None:
        path = tmp_path / "array"
        first = conveyor.SharedArray(5, "i8", path=path)
        first[:] = range(5)
        first.flush()
        assert first.path == str(path)
        assert path.stat().st_mode & 0o777 == 0o600
        del first
        again = conveyor.SharedArray((5,), "i8", path=str(path))
        assert again.array.tolist() == [0, 1, 2, 3, 4]
        assert pickle.loads(pickle.dumps(again)).path == str(path)
        assert [each.name for each in tmp_path.iterdir()] == ["array"]

    def test_another_shape_or_type_is_told(self, tmp_path: Path) -> None:
        path = tmp_path / "array"
        conveyor.SharedArray(5, "i8", path=path)
        for shape, dtype in ((6, "i8"), (5, "f8"), ((5, 1), "i8")):
            with pytest.raises(
                ValueError, match=r"has an array of shape \(5,\) and dtype int64; asked for were"
            ):
                conveyor.SharedArray(shape, dtype, path=path)

    def test_other_files_are_left_alone(self, tmp_path: Path) -> None:
        path = tmp_path / "array"
        path.write_bytes(b"precious" * 10_000)
        with pytest.raises(conveyor.CorruptSegment, match="no conveyor mark"):
            conveyor.SharedArray(5, path=path)
        assert path.read_bytes() == b"precious" * 10_000

    def test_a_damaged_description_is_found_out(self, tmp_path: Path) -> None:
        path = tmp_path / "array"
        for damage in (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x10\0\0\0((9**9,), 'i8')"):
            path.unlink(missing_ok=True)
            conveyor.SharedArray(5, "i8", path=path)
            with path.open("r+b") as file:
                file.seek(4096 + 128)
                file.write(damage)
            with pytest.raises(conveyor.CorruptSegment):
                conveyor.SharedArray(5, "i8", path=path)

    def test_a_lock_of_the_past_is_free(self, tmp_path: Path) -> None:
        path = tmp_path / "array"
        first = conveyor.SharedArray(5, lock=True, path=path)
        first.get_lock().acquire()
        assert conveyor.SharedArray(5, lock=True, path=path).get_lock().locked()  # somebody else's, and alive
        del first
        assert not conveyor.SharedArray(5, lock=True, path=path).get_lock().locked()
