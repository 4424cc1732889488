"""SharedDict: what a plain dict does, and what one alone cannot."""

from __future__ import annotations

import copy
import math
import pickle
import threading
from collections.abc import MutableMapping
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

import conveyor
from conveyor import SharedDict
from conveyor.errors import CodecMismatch, OutOfMemory, WrongKind

KEYS = st.one_of(
    st.integers(-3, 3), st.booleans(), st.sampled_from([0.0, 1.0, 1.5, math.inf]), st.text(max_size=2), st.none(),
    st.tuples(st.integers(0, 1), st.sampled_from(["a", 1.0])), st.binary(max_size=1),
)  # fmt: skip
VALUES = st.one_of(st.integers(), st.text(max_size=300), st.lists(st.floats(allow_nan=False), max_size=30))


class AgainstAPlainDict(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.shared: SharedDict[Any, Any] = SharedDict()
        self.plain: dict[Any, Any] = {}

    @rule(key=KEYS, value=VALUES)
    def set_item(self, key: Any, value: Any) -> None:
        self.shared[key] = self.plain[key] = value

    @rule(key=KEYS)
    def get(self, key: Any) -> None:
        assert self.shared.get(key, "none") == self.plain.get(key, "none")
        assert (key in self.shared) == (key in self.plain)

    @rule(key=KEYS)
    def pop(self, key: Any) -> None:
        assert self.shared.pop(key, None) == self.plain.pop(key, None)

    @rule(key=KEYS, value=VALUES)
    def setdefault(self, key: Any, value: Any) -> None:
        assert self.shared.setdefault(key, value) == self.plain.setdefault(key, value)

    @rule(key=KEYS, value=VALUES)
    def update_key(self, key: Any, value: Any) -> None:
        with self.shared.updating(key) as held:
            assert held.get("none") == self.plain.get(key, "none")
            held.value = value
        self.plain[key] = value

    @rule(pairs=st.dictionaries(KEYS, VALUES, max_size=20))
    def update(self, pairs: Any) -> None:
        self.shared.update(pairs)
        self.plain.update(pairs)

    @rule()
    def pop_item(self) -> None:
        if self.plain:
            assert self.shared.popitem() == self.plain.popitem()
        else:
            with pytest.raises(KeyError):
                self.shared.popitem()

    @rule()
    def clear(self) -> None:
        self.shared.clear()
        self.plain.clear()

    @invariant()
    def is_the_same(self) -> None:
        # Order and types of keys too: the first of several equal keys stays.
        assert repr(list(self.shared.items())) == repr(list(self.plain.items()))
        assert len(self.shared) == len(self.plain)
        assert not self.shared._check()


TestAgainstAPlainDict = AgainstAPlainDict.TestCase
TestAgainstAPlainDict.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)


class TestMethods:
    def test_is_a_mutable_mapping(self) -> None:
        assert isinstance(SharedDict(), MutableMapping)
        assert SharedDict[str, int]

    def test_views_and_operators(self) -> None:
        shared = SharedDict([("a", 1), ("b", 2)])
        assert list(shared.keys()) == ["a", "b"]
        assert list(reversed(shared)) == ["b", "a"]
        assert list(reversed(shared.items())) == [("b", 2), ("a", 1)]
        assert 2 in shared.values()
        assert ("a", 1) in shared.items()
        assert shared.keys() & {"a", "z"} == {"a"}
        assert shared == {"b": 2, "a": 1}
        assert shared != {"a": 1}
        assert shared | {"c": 3} == {"a": 1, "b": 2, "c": 3}
        assert {"c": 3} | shared == {"c": 3, "a": 1, "b": 2}
        shared |= [("c", 3)]
        assert shared.copy() == {"a": 1, "b": 2, "c": 3}
        assert type(shared.copy()) is dict
        assert repr(shared) == "SharedDict({'a': 1, 'b': 2, 'c': 3})"
        with pytest.raises(TypeError):
            hash(shared)
        with pytest.raises(KeyError, match="'x'"):
            shared["x"]
        with pytest.raises(KeyError, match="'x'"):
            del shared["x"]
        with pytest.raises(KeyError):
            shared.pop("x")

    def test_iteration_is_over_one_moment(self) -> None:
        shared = SharedDict(dict.fromkeys(range(10), 0))
        for key in shared:
            shared[key + 100] = 1
            del shared[key]
        assert list(shared) == list(range(100, 110))

    def test_update_has_its_old_meaning_for_pairs(self) -> None:
        shared: SharedDict[Any, Any] = SharedDict()
        shared.update({"a": 1}, b=2)
        shared.update([("c", 3)])
        shared.update(pair for pair in [("d", 4)])
        shared.update(SharedDict({"e": 5}))
        shared.update(self=6, key=7, timeout=8)
        shared.update()
        assert shared == {"a": 1, "b": 2, "c": 3, "d": 4, "e": 5, "self": 6, "key": 7, "timeout": 8}
        with pytest.raises(TypeError, match="at most 1"):
            shared.update({}, {})  # type: ignore[call-overload]
        for ambiguous in ((("a", 1),), frozenset({("a", 1)}), ("ab", "cd")):
            with pytest.raises(TypeError, match="may mean pairs or a key"):
                shared.update(ambiguous)

    def test_values_are_copies(self) -> None:
        shared = SharedDict({"a": [1]})
        shared["a"].append(2)
        assert shared["a"] == [1]
        array = np.arange(50_000.0).reshape(100, 500)
        shared["a"] = {"array": array}  # type: ignore[assignment]
        assert (shared["a"]["array"] == array).all()  # type: ignore[call-overload]

    def test_a_value_that_cannot_be_pickled_changes_nothing(self) -> None:
        shared: SharedDict[str, Any] = SharedDict({"a": 1})
        with pytest.raises(TypeError, match="pickle"):
            shared["a"] = threading.Lock()
        assert shared == {"a": 1}


class TestUpdate:
    def test_one_key(self) -> None:
        shared: SharedDict[Any, Any] = SharedDict({"a": [1]})
        with shared.update("a") as held:
            assert held.exists
            assert held.key == "a"
            held.value.append(2)
            assert shared["a"] == [1]
        assert shared["a"] == [1, 2]
        with shared.update(("new", 1, 2)) as held:
            assert not held.exists
            with pytest.raises(KeyError):
                _ = held.value
            held.value = held.get(5) + 1
        assert shared["new", 1, 2] == 6
        with shared.update("a") as held:
            del held.value
            with pytest.raises(KeyError):
                del held.value
            assert not held.exists
        assert "a" not in shared
        with shared.update("a"):
            pass
        assert "a" not in shared
        with pytest.raises(RuntimeError, match="the block"):
            _ = held.value

    def test_an_exception_changes_nothing(self) -> None:
        shared = SharedDict({"a": 1})
        with pytest.raises(ZeroDivisionError), shared.update("a") as held:
            held.value = 1 // 0
        with pytest.raises(TypeError, match="pickle"), shared.update("a") as held:
            held.value = threading.Lock()  # type: ignore[assignment]
        assert shared == {"a": 1}
        shared["a"] = 2  # nobody is in the block any more
        assert not shared._check()

    def test_what_is_the_same_is_no_change(self) -> None:
        shared = SharedDict({"a": [1]})
        before = shared._figures()
        with shared.update("a") as held:
            assert held.value == [1]
        assert shared._figures() == before

    def test_others_wait(self) -> None:
        shared: SharedDict[str, int] = SharedDict({"a": 0, "b": 0})
        entered, results = threading.Event(), []

        def other() -> None:
            entered.wait()
            shared["b"] = 5
            results.append(shared["a"])
            with pytest.raises(TimeoutError), shared.updating("a", timeout=0.02):
                pass
            entered.clear()
            shared["a"] = shared["a"] + 10
            results.append(shared["a"])

        thread = threading.Thread(target=other)
        thread.start()
        with shared.update("a") as held:
            entered.set()
            while entered.is_set():
                pass
            with pytest.raises(RuntimeError, match="this thread is inside"):
                shared["a"] = 7
            with pytest.raises(RuntimeError, match="this thread is inside"):
                shared.clear()
            held.value = 1
        thread.join()
        assert results[0] == 0
        assert shared["b"] == 5
        assert results[1] in (10, 11)  # it may have read before the block was left, and written after

    def test_many_threads(self) -> None:
        shared: SharedDict[str, int] = SharedDict()

        def work() -> None:
            for _ in range(200):
                with shared.update("n") as held:
                    held.value = held.get(0) + 1

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert shared == {"n": 800}

    def test_who_forgets_the_block_is_told(self) -> None:
        shared: SharedDict[str, int] = SharedDict()
        with pytest.warns(RuntimeWarning, match="never entered"):
            shared.update("a")  # collected at once


class TestWaiting:
    def test_until_it_is_there_and_until_it_changes(self) -> None:
        shared: SharedDict[str, int] = SharedDict()
        seen: list[int] = []

        def follow() -> None:
            seen.append(shared.wait("a"))
            while seen[-1] != 3:
                seen.append(shared.wait("a", 20, other_than=seen[-1]))

        thread = threading.Thread(target=follow)
        thread.start()
        for value in (1, 2, 3):
            shared["other"] = 7
            shared["a"] = value
            shared.wait_for(lambda _, value=value: value in seen, 0.2)  # type: ignore[misc]
        thread.join()
        assert seen[-1] == 3
        assert seen == sorted(set(seen))

    def test_not_in_time(self) -> None:
        shared = SharedDict({"a": 1})
        assert shared.wait("a", 0) == 1
        with pytest.raises(TimeoutError, match="'b'"):
            shared.wait("b", 0.02)
        with pytest.raises(TimeoutError, match="other value of 'a'"):
            shared.wait("a", 0.02, other_than=1)
        assert shared.wait_for(len, 0) == 1
        assert not shared.wait_for(lambda d: len(d) > 1, 0.02)


class TestBounds:
    def test_full_is_an_exception_and_damages_nothing(self) -> None:
        shared: SharedDict[int, Any] = SharedDict(max_bytes=100_000)
        with pytest.raises(OutOfMemory, match="max_bytes=100000"):
            for number in range(10_000):
                shared[number] = "x" * 100
        size = len(shared)
        assert 300 < size < 1000
        assert shared.nbytes <= 100_000
        with pytest.raises(OutOfMemory), shared.update(0) as held:
            held.value = "y" * 100_000
        with pytest.raises(OutOfMemory):
            shared[0] = bytes(200_000)
        assert shared == dict.fromkeys(range(size), "x" * 100)
        assert not shared._check()
        for number in range(0, size, 2):
            del shared[number]
        shared["again"] = "x" * 1000  # type: ignore[index]
        shared.clear()
        assert shared.nbytes == 0

    def test_a_million_keys(self) -> None:
        shared: SharedDict[int, int] = SharedDict()
        shared.update((number, -number) for number in range(1_000_000))
        assert len(shared) == 1_000_000
        assert shared[999_999] == -999_999
        assert all(shared[number] == -number for number in range(0, 1_000_000, 1009))
        held = shared._region.memory_held
        shared.clear()
        assert shared._region.memory_held < held
        assert not shared

    @pytest.mark.parametrize("bound", [0, -1, 1.5, "big"])
    def test_bad_bounds(self, bound: Any) -> None:
        with pytest.raises((ValueError, TypeError), match="max_bytes is"):
            SharedDict(max_bytes=bound)


class TestNamed:
    def test_is_found_again(self, name: str) -> None:
        shared = SharedDict({"a": 1}, name=name, create=True, max_bytes=10**6)
        assert shared.name == name
        again: SharedDict[str, int] = SharedDict({"z": 26}, name=name)
        again["b"] = 2
        assert shared == {"a": 1, "b": 2}
        with pytest.raises(FileExistsError):
            SharedDict(name=name, create=True)
        assert pickle.loads(pickle.dumps(shared)) == shared
        conveyor.remove(f"shm://{name}")
        with pytest.raises(FileNotFoundError):
            SharedDict(name=name, create=False)
        assert shared["b"] == 2

    def test_of_another_kind(self, name: str) -> None:
        keep = conveyor.SharedList(name=name)
        with pytest.raises(WrongKind):
            SharedDict(name=name)
        del keep
        with pytest.raises(ValueError, match="name"):
            SharedDict(name="a/b")
        with pytest.raises(ValueError, match="needs a name"):
            SharedDict(create=False)


class TestCodecs:
    @pytest.mark.parametrize("codec", ["pickle", "msgpack", "json", "raw"])
    def test_round_trip(self, codec: str) -> None:
        shared: SharedDict[Any, Any] = SharedDict(codec=codec)
        value: Any = b"some bytes" if codec == "raw" else {"a": [1, 2.5, None, "x"]}
        shared["t"] = value if codec == "raw" else (1, 2)
        assert list(shared["t"]) == (list(value) if codec == "raw" else [1, 2])
        shared["k"] = value
        shared[1, 2.0] = value
        assert bytes(shared["k"]) == value if codec == "raw" else shared["k"] == value
        assert pickle.loads(pickle.dumps(shared))[1, 2] == shared[1, 2]
        if codec != "pickle":
            with pytest.raises(TypeError, match="only pickle can carry"):
                shared[PurePosixPath("x")] = value

    def test_another_one(self, name: str) -> None:
        shared: SharedDict[str, Any] = SharedDict({"a": 1}, name=name)
        other: SharedDict[str, Any] = SharedDict(name=name, codec="json")
        with pytest.raises(CodecMismatch):
            other["a"]
        other["b"] = 1
        with pytest.raises(CodecMismatch):
            shared["b"]
        assert list(other) == ["a", "b"]


def test_copies_and_pickles_are_handles() -> None:
    shared = SharedDict({"a": 1})
    for other in (pickle.loads(pickle.dumps(shared)), copy.copy(shared), copy.deepcopy(shared)):
        other["a"] += 1
    assert shared["a"] == 4
