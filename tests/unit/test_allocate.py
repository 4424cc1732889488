"""allocate: memory of a queue that the producer fills in place, so that nothing at all is copied."""

from __future__ import annotations

import gc
import threading
from typing import Any

import numpy as np
import pytest
from lending import lent, sound, there_and_back

import conveyor
from conveyor.errors import ItemTooLarge

BIG = 20_000
MIB = 1 << 20


class TestAllocate:
    def test_nothing_is_copied(self) -> None:
        queue: Any = conveyor.Queue()
        place = queue.allocate((300, 400), "f4")
        assert (place.shape, place.dtype) == ((300, 400), np.dtype("f4"))
        assert place.flags.c_contiguous
        place[:] = 7
        queue.put(place)
        received = queue.get()
        assert (received == 7).all()
        assert np.shares_memory(place, received)
        del received
        assert lent(queue) == 0
        assert (place == 7).all(), "the producer may look at it as long as it likes"
        del place
        assert sound(queue)

    def test_the_producer_lets_go_first(self) -> None:
        queue: Any = conveyor.Queue()
        place = queue.allocate(BIG)
        place[:] = 3
        queue.put(place)
        del place
        gc.collect()
        other = queue.allocate(BIG)
        other[:] = 4
        assert (queue.get() == 3).all()

    def test_as_a_part_of_an_item(self) -> None:
        queue: Any = conveyor.Queue()
        places = [queue.allocate(BIG) for _ in range(3)]
        for number, place in enumerate(places):
            place[:] = number
        received = there_and_back(queue, {"arrays": places, "plain": np.full(BIG, 9), "text": "x" * 100_000})
        for place, one in zip(places, received["arrays"], strict=True):
            assert np.shares_memory(place, one)
        assert (received["plain"] == 9).all()
        assert len(received["text"]) == 100_000
        del received, places, place, one
        assert sound(queue)

    def test_more_than_an_item_can_carry_in_place(self) -> None:
        queue: Any = conveyor.Queue()
        places = [queue.allocate(100) for _ in range(40)]
        for number, place in enumerate(places):
            place[:] = number
        received = there_and_back(queue, places)
        assert all((one == number).all() for number, one in enumerate(received))
        del received, places, place
        assert sound(queue)

    @pytest.mark.parametrize(
        "reshaped", [lambda a: a.reshape(100, -1), lambda a: a.reshape(100, -1).T, lambda a: a.view("i8")]
    )
    def test_any_whole_view_will_do(self, reshaped: Any) -> None:
        queue: Any = conveyor.Queue()
        place = queue.allocate(BIG)
        place[:] = np.arange(BIG)
        received = there_and_back(queue, reshaped(place))
        assert np.shares_memory(place, received)
        assert (received == reshaped(place)).all()

    def test_dates_too(self) -> None:
        queue: Any = conveyor.Queue()
        place = queue.allocate(BIG, "M8[s]")
        place[:] = np.datetime64("2026-01-01")
        received = there_and_back(queue, place)
        assert np.shares_memory(place, received)
        assert received.dtype == place.dtype

    def test_a_part_is_copied(self) -> None:
        queue: Any = conveyor.Queue()
        place = queue.allocate(BIG)
        place[:] = 1
        part = there_and_back(queue, place[: BIG // 2])
        assert not np.shares_memory(place, part)
        assert np.shares_memory(place, there_and_back(queue, place))

    def test_on_another_queue_it_is_copied(self) -> None:
        queue: Any = conveyor.Queue()
        other: Any = conveyor.Queue()
        place = queue.allocate(BIG)
        place[:] = 5
        assert not np.shares_memory(place, there_and_back(other, place))
        assert np.shares_memory(place, there_and_back(queue, place))

    def test_put_twice(self) -> None:
        queue: Any = conveyor.Queue()
        place = queue.allocate(BIG)
        place[:] = 5
        queue.put(place)
        with pytest.raises(ValueError, match="put already"):
            queue.put(place)
        queue.put(place.copy())
        assert queue.qsize() == 2

    def test_twice_in_one_item(self) -> None:
        queue: Any = conveyor.Queue()
        place = queue.allocate(BIG)
        place[:] = 5
        first, second, third = there_and_back(queue, [place, place, place.reshape(2, -1)])
        assert first is second
        assert not np.shares_memory(first, third)
        assert (third == 5).all()

    def test_a_failed_put_leaves_it(self) -> None:
        queue: Any = conveyor.Queue(maxsize=1)
        queue.put(1)
        place = queue.allocate(BIG)
        place[:] = 5
        for _ in range(3):
            with pytest.raises(conveyor.Full):
                queue.put([place, np.zeros(BIG)], timeout=0)
        with pytest.raises(TypeError):
            queue.put([place, threading.Lock()])
        queue.get()
        queue.put(place)
        assert np.shares_memory(queue.get(), place)

    def test_never_put(self) -> None:
        queue: Any = conveyor.Queue()
        for _ in range(100):
            place = queue.allocate((1000, 1000))
            place[0, 0] = 1
        del place
        assert sound(queue)
        assert queue.statistics().memory_held < 64 * MIB

    def test_many_waiting(self) -> None:
        queue: Any = conveyor.Queue()
        for number in range(200):
            place = queue.allocate(BIG)
            place[:] = number
            queue.put((number, place))
        del place
        for number in range(200):
            got, received = queue.get()
            assert got == number
            assert (received == number).all()
        del received
        assert sound(queue)

    def test_bytes(self) -> None:
        queue: Any = conveyor.Queue()
        place = queue.allocate_bytes(100_000)
        place[:] = b"x" * 100_000
        received = there_and_back(queue, place)
        assert type(received) is memoryview
        assert received == b"x" * 100_000
        received[0] = 1
        assert place[0] == 1

    def test_small_and_empty(self) -> None:
        queue: Any = conveyor.Queue()
        assert there_and_back(queue, queue.allocate(0)).shape == (0,)
        assert there_and_back(queue, queue.allocate((), "i4")).shape == ()
        assert len(there_and_back(queue, queue.allocate_bytes(0))) == 0
        small = queue.allocate(3, "i2")
        small[:] = 1, 2, 3
        assert there_and_back(queue, small).tolist() == [1, 2, 3]
        assert queue._check() == ""

    @pytest.mark.parametrize(
        ("arguments", "error", "text"),
        [
            ((-1,), ValueError, "negative"),
            (((3, -1),), ValueError, "negative"),
            ((3, object), TypeError, "no Python objects"),
            (("three",), TypeError, "integer"),
            ((3, "no such type"), TypeError, "no such type"),
            ((1 << 60,), conveyor.OutOfMemory, "no memory"),
        ],
    )
    def test_wrong_arguments(self, arguments: Any, error: type[Exception], text: str) -> None:
        queue: Any = conveyor.Queue()
        with pytest.raises(error, match=text):
            queue.allocate(*arguments)

    def test_closed(self) -> None:
        queue: Any = conveyor.Queue()
        place = queue.allocate(BIG)
        queue.close()
        for call in (lambda: queue.allocate(5), lambda: queue.allocate_bytes(5), lambda: queue.put(place)):
            with pytest.raises(ValueError, match="is closed"):
                call()

    def test_more_than_the_bound(self) -> None:
        queue: Any = conveyor.Queue(max_bytes=1000)
        with pytest.raises(ItemTooLarge, match="max_bytes is 1000"):
            queue.allocate(126)
        with pytest.raises(ValueError, match="size is -1"):
            queue.allocate_bytes(-1)
