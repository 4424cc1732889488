"""SharedList: what a plain list does, and what one alone cannot."""

from __future__ import annotations

import pickle
import re
import threading
import uuid
from collections.abc import MutableSequence
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

import conveyor
from conveyor import SharedList
from conveyor.errors import OutOfMemory

ITEMS = st.one_of(st.integers(), st.text(max_size=200), st.none())
MANY = st.lists(ITEMS, max_size=12)
INDEX = st.integers(-30, 30)
BOUND = st.one_of(st.none(), INDEX)
SLICES = st.builds(slice, BOUND, BOUND, st.one_of(st.none(), st.integers(-3, 3).filter(bool)))


class AgainstAPlainList(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.shared: SharedList[Any] = SharedList()
        self.plain: list[Any] = []

    def both(self, call: Any) -> None:
        """Both give the same, or raise the same."""
        try:
            expected = call(self.plain)
        except (IndexError, ValueError) as error:
            with pytest.raises(type(error), match=re.escape(str(error))):
                call(self.shared)
        else:
            assert call(self.shared) == expected

    @rule(item=ITEMS)
    def append(self, item: Any) -> None:
        self.both(lambda all_: all_.append(item))

    @rule(index=INDEX, item=ITEMS)
    def insert(self, index: int, item: Any) -> None:
        self.both(lambda all_: all_.insert(index, item))

    @rule(items=MANY)
    def extend(self, items: list[Any]) -> None:
        self.both(lambda all_: all_.extend(iter(items)))

    @rule(index=INDEX)
    def pop(self, index: int) -> None:
        self.both(lambda all_: all_.pop(index))

    @rule()
    def pop_last(self) -> None:
        self.both(lambda all_: all_.pop())

    @rule(index=st.one_of(INDEX, SLICES))
    def get(self, index: Any) -> None:
        self.both(lambda all_: all_[index])

    @rule(index=INDEX, item=ITEMS)
    def set_item(self, index: int, item: Any) -> None:
        self.both(lambda all_: all_.__setitem__(index, item))

    @rule(index=SLICES, items=MANY)
    def set_slice(self, index: slice, items: list[Any]) -> None:
        self.both(lambda all_: all_.__setitem__(index, items))

    @rule(index=st.one_of(INDEX, SLICES))
    def delete(self, index: Any) -> None:
        self.both(lambda all_: all_.__delitem__(index))

    @rule(item=ITEMS)
    def look(self, item: Any) -> None:
        self.both(lambda all_: (item in all_, all_.count(item)))
        if item not in self.plain:
            with pytest.raises(ValueError, match="not in list"):
                self.shared.index(item)

    @rule()
    def turn(self) -> None:
        self.both(lambda all_: all_.reverse())

    @rule(reverse=st.booleans())
    def sort(self, reverse: bool) -> None:
        self.both(lambda all_: all_.sort(key=lambda item: len(str(item)), reverse=reverse))

    @rule(times=st.integers(-1, 2))
    def multiply(self, times: int) -> None:
        if len(self.plain) < 200:
            self.plain *= times
            self.shared *= times

    @rule()
    def clear(self) -> None:
        self.both(lambda all_: all_.clear())

    @invariant()
    def is_the_same(self) -> None:
        assert self.shared == self.plain
        assert list(self.shared) == self.plain
        assert list(reversed(self.shared)) == self.plain[::-1]
        assert len(self.shared) == len(self.plain)
        assert not self.shared._check()


TestAgainstAPlainList = AgainstAPlainList.TestCase
TestAgainstAPlainList.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)


def test_a_long_list_in_the_middle() -> None:
    shared, plain = SharedList(range(5000)), list(range(5000))
    for index in (2500, 1, 4999, 101, 4800):
        shared.insert(index, "x")  # type: ignore[arg-type]
        plain.insert(index, "x")  # type: ignore[arg-type]
        assert shared.pop(index // 2) == plain.pop(index // 2)
    del shared[:1000], plain[:1000]
    del shared[100:-100], plain[100:-100]
    assert shared == plain
    while plain:
        assert shared.pop(0) == plain.pop(0)
    assert not shared
    assert not shared._check()
    with pytest.raises(IndexError, match="pop from empty list"):
        shared.pop()


def test_the_rest_of_a_list() -> None:
    shared = SharedList([3, 1, 2])
    assert isinstance(shared, MutableSequence)
    assert SharedList[int]
    shared.sort()
    assert repr(shared) == "SharedList([1, 2, 3])"
    assert shared + [4] == [1, 2, 3, 4]  # noqa: RUF005
    assert [0] + shared == [0, 1, 2, 3]  # noqa: RUF005
    assert shared + shared == [1, 2, 3, 1, 2, 3]
    assert shared * 2 == 2 * shared == [1, 2, 3, 1, 2, 3]
    assert shared.index(3) == 2
    assert shared.index(3, -1) == 2
    shared.remove(2)
    with pytest.raises(ValueError, match="not in list"):
        shared.remove(2)
    shared += (5,)
    assert shared.copy() == [1, 3, 5]
    shared.extend(shared)
    assert shared == [1, 3, 5, 1, 3, 5]
    with pytest.raises(TypeError, match="must be integers or slices, not str"):
        shared["a"]  # type: ignore[call-overload]
    with pytest.raises(TypeError):
        shared[0:1] = 5  # type: ignore[call-overload]
    with pytest.raises(TypeError):
        hash(shared)
    assert pickle.loads(pickle.dumps(shared)) == shared


def test_full_is_an_exception_and_nothing_is_half_done() -> None:
    shared: SharedList[Any] = SharedList(["first"], max_bytes=100_000)
    with pytest.raises(OutOfMemory, match="max_bytes=100000"):
        shared.extend(["x" * 100] * 5000)
    assert shared == ["first"]
    with pytest.raises(OutOfMemory):
        shared[:] = ["x" * 100] * 5000
    assert shared == ["first"]
    with pytest.raises(OutOfMemory):
        shared.append(bytes(200_000))
    assert not shared._check()


def test_sorting_while_others_append() -> None:
    shared = SharedList(range(100))
    compared = threading.Event()

    def key(number: int) -> int:
        if not compared.is_set():
            compared.set()
            shared.append(-1)
        return -number

    shared.sort(key=key)
    assert shared == [*range(99, -1, -1), -1]
    with pytest.raises(ValueError, match="list modified during sort"):
        shared.sort(key=lambda number: shared.append(0) or 0 if number == 99 else 0)  # type: ignore[func-returns-value]


def test_wait_for() -> None:
    shared: SharedList[int] = SharedList()
    thread = threading.Thread(target=lambda: [shared.append(number) for number in range(50)])
    thread.start()
    assert shared.wait_for(lambda all_: len(all_) == 50, 20)
    thread.join()
    assert not shared.wait_for(lambda all_: len(all_) > 50, 0.02)


def test_by_name() -> None:
    name = f"test-{uuid.uuid4().hex}"
    shared = SharedList([1], name=name)
    try:
        again: SharedList[int] = SharedList([9], name=name)
        again.append(2)
        assert shared == [1, 2]
        assert shared.name == name
        assert shared.nbytes > 0
    finally:
        conveyor.remove(f"shm://{name}")
