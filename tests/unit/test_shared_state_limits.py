"""Shared dicts and lists at their bounds, with values that cannot be read, and with blocks that are never left."""

from __future__ import annotations

import contextlib
import gc
import pickle
import signal
import threading
import time
from typing import Any

import pytest

from conveyor import SharedDict, SharedList
from conveyor.errors import OutOfMemory, SegmentGone


class Unreadable:
    """Its pickle raises ZeroDivisionError when it is read."""

    def __reduce__(self) -> tuple[Any, ...]:
        return divmod, (1, 0)


class Counter(SharedDict[str, int]):
    """A class of the program's own."""


def fill_list(items: SharedList[str], value: str) -> int:
    number = 0
    with contextlib.suppress(OutOfMemory):
        while True:
            items.append(value)
            number += 1
    return number


class TestFull:
    def test_a_full_list_can_be_made_shorter(self) -> None:
        bound = 2**20
        items: SharedList[str] = SharedList(max_bytes=bound)
        plain = ["x" * 10] * fill_list(items, "x" * 10)
        assert len(plain) > 10_000

        def expect_full() -> None:
            plain.extend(["y"] * fill_list(items, "y"))
            assert items == plain
            assert items.nbytes <= bound
            assert not items._check()

        expect_full()
        assert items.pop(len(items) // 2) == plain.pop(len(plain) // 2)
        expect_full()
        for cut in (slice(3000, 3300), slice(0, 10), slice(1, None, 7)):
            del items[cut]
            del plain[cut]
            expect_full()
        items.reverse()
        plain.reverse()
        items.sort()
        plain.sort()
        expect_full()
        items[77] = plain[77] = "z" * len(plain[77])  # its like takes its room
        while items:
            assert items.pop() == plain.pop()
        assert items.nbytes < 2000

    def test_a_full_dict_takes_one_for_each_that_goes(self) -> None:
        bound = 2**20
        shared: SharedDict[int, str] = SharedDict(max_bytes=bound)
        number = 0
        with contextlib.suppress(OutOfMemory):
            while True:
                shared[number] = "x" * 10
                number += 1
        plain = dict.fromkeys(range(number), "x" * 10)
        shared[5] = plain[5] = "y" * 10  # the old value's room is the new one's
        for key in range(0, number, number // 50):
            del shared[key], plain[key]
            shared[key + number] = plain[key + number] = "z" * 10
            with pytest.raises(OutOfMemory, match="max_bytes=1048576"):
                shared[-1] = "x" * 1000
        assert list(shared.items()) == list(plain.items())
        assert shared.nbytes <= bound
        assert not shared._check()


class TestWhatCannotBeRead:
    def test_stays_in_a_dict(self) -> None:
        shared: SharedDict[str, Any] = SharedDict({"a": 1, "b": Unreadable()})
        for take in (lambda: shared.pop("b"), shared.popitem, lambda: shared["b"]):
            with pytest.raises(ZeroDivisionError):
                take()
            assert list(shared) == ["a", "b"]
        del shared["b"]
        shared["c"] = {3, 4}  # pickled, and readable
        assert shared.pop("c") == {3, 4}
        shared["c"] = {5}
        assert shared.popitem() == ("c", {5})
        assert shared.popitem() == ("a", 1)
        assert not shared._check()

    def test_stays_in_a_list(self) -> None:
        items: SharedList[Any] = SharedList([{1}, Unreadable(), {2}])
        with pytest.raises(ZeroDivisionError):
            items.pop(1)
        assert len(items) == 3
        del items[1]
        assert [items.pop(), items.pop()] == [{2}, {1}]
        assert not items._check()

    def test_a_value_that_another_codec_wrote_is_not_lost(self) -> None:
        shared: SharedDict[str, Any] = SharedDict({"a": (1, 2)}, codec="json")
        other: SharedDict[str, Any] = SharedDict.on_region(shared._region, "auto")
        with pytest.raises(Exception, match="another codec"):
            other.pop("a")
        assert shared.pop("a") == [1, 2]

    def test_each_pickled_item_goes_to_one_thread(self) -> None:
        items: SharedList[Any] = SharedList([{number} for number in range(2000)])
        shared: SharedDict[int, Any] = SharedDict({number: {number} for number in range(2000)})
        taken: list[int] = []

        def take() -> None:
            with contextlib.suppress(IndexError):
                while True:
                    taken.extend(items.pop(0))
            with contextlib.suppress(KeyError):
                while True:
                    taken.extend(shared.popitem()[1])

        threads = [threading.Thread(target=take) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(taken) == sorted([*range(2000), *range(2000)])


class Alarm(Exception):
    pass


def is_free(shared: SharedDict[str, int]) -> bool:
    """Whether another thread can enter the block of "a"."""
    entered: list[bool] = []

    def enter() -> None:
        with contextlib.suppress(TimeoutError), shared.updating("a", timeout=0.5):
            entered.append(True)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    return bool(entered)


class TestBlocksThatAreNeverLeft:
    def test_a_dropped_one_gives_its_key_back(self) -> None:
        shared = SharedDict({"a": 1})
        block = shared.updating("a")
        block.__enter__().value = 2
        assert not is_free(shared)
        del block
        gc.collect()
        assert is_free(shared)
        assert shared == {"a": 1}

    def test_left_twice(self) -> None:
        shared = SharedDict({"a": 1})
        with shared.updating("a") as held:
            held.value = 2
        with pytest.raises(RuntimeError, match="was left already"):
            held.__exit__(None, None, None)
        assert shared == {"a": 2}

    # A traceback that ends between update() and the block keeps what it gave until the exception is forgotten.
    @pytest.mark.filterwarnings("ignore:update.'a'. was never entered:RuntimeWarning")
    def test_exceptions_from_signals(self) -> None:
        shared = SharedDict({"a": 0})
        done = interrupted = 0

        def handler(*_: Any) -> None:
            raise Alarm

        def count() -> None:
            nonlocal done
            until = time.monotonic() + 0.05
            while time.monotonic() < until:
                with shared.updating("a", timeout=5) as held:
                    held.value += 1
                done += 1

        before = signal.signal(signal.SIGALRM, handler)
        try:
            for number in range(300):
                try:  # in which it may come at once, where others have the processor
                    signal.setitimer(signal.ITIMER_REAL, 0.0002 + number % 7 * 0.0001)
                    count()
                except Alarm:
                    interrupted += 1
                signal.setitimer(signal.ITIMER_REAL, 0)
        finally:
            signal.signal(signal.SIGALRM, before)
        assert interrupted > 250
        assert is_free(shared)
        assert done <= shared["a"] <= done + interrupted
        assert not shared._check()


def test_a_handle_as_a_value_does_not_keep_its_memory() -> None:
    shared: SharedDict[str, Any] = SharedDict()
    inner = SharedList([1])
    shared["inner"] = inner
    for number in (2, 3):
        shared["inner"].append(number)
    assert inner == [1, 2, 3]
    del inner
    gc.collect()
    for take in (lambda: shared["inner"], lambda: shared.pop("inner")):
        with pytest.raises(SegmentGone, match="gone"):
            take()
    assert "inner" in shared
    del shared["inner"]


def test_a_class_of_ones_own_travels_as_such() -> None:
    counter = Counter({"a": 1})
    received = pickle.loads(pickle.dumps(counter))
    assert type(received) is Counter
    received["a"] += 1
    assert counter == {"a": 2}


def test_the_rest_of_dict_and_list() -> None:
    assert SharedDict.fromkeys("ab") == {"a": None, "b": None}
    assert type(Counter.fromkeys("ab", 3)) is Counter
    items = SharedList([1, 2])
    assert items < [1, 3]
    assert items <= SharedList([1, 2])
    assert items > [1]
    assert items >= [1, 2]
    assert items + SharedList([3]) == [1, 2, 3]
    with pytest.raises(TypeError, match="not supported between"):
        assert items < (1, 3)  # type: ignore[operator]
    with pytest.raises(TypeError, match="unsupported operand"):
        _ = items + (3,)  # noqa: RUF005


@pytest.mark.parametrize("kind", [SharedDict, SharedList])
def test_a_name_is_a_str(kind: Any) -> None:
    with pytest.raises(TypeError, match="name is 5; it must be a str"):
        kind(name=5)
