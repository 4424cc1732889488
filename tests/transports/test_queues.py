"""What every queue does, whatever its transport: putting, taking, bounds, state."""

from __future__ import annotations

import functools
import operator
import pickle
import queue as standard
import threading
import time
from typing import Any

import pytest

import conveyor
from conveyor import ItemTooLarge, protocols

ITEMS = [None, True, 0, -(10**30), 1.5, "text", b"bytes", (1, [2, {"three": {4}}]), "", b""]


class TestPutAndGet:
    def test_items_come_back_equal_in_type_and_order(self, make: Any) -> None:
        queue = make()
        for item in ITEMS:
            queue.put(item)
        got = [queue.get(timeout=10) for _ in ITEMS]
        assert got == ITEMS
        assert [type(item) for item in got] == [type(item) for item in ITEMS]

    def test_many(self, make: Any) -> None:
        queue = make()
        queue.put_many(range(1000))
        got: list[int] = []
        while len(got) < 1000:
            some = queue.get_many(max_items=300, timeout=10)
            assert 1 <= len(some) <= 300
            got += some
        assert got == list(range(1000))

    def test_nothing_at_all(self, make: Any) -> None:
        queue = make()
        queue.put_many([])
        for call in (
            queue.get_nowait,
            lambda: queue.get(block=False),
            lambda: queue.get(timeout=0),
            lambda: queue.get(timeout=-1),
            lambda: queue.get_many(timeout=0),
            lambda: queue.get_many(block=False),
            lambda: queue.lease(timeout=0),
            lambda: queue.lease_many(timeout=0),
        ):
            with pytest.raises(standard.Empty):
                call()

    def test_a_timeout_bounds_the_whole_call(self, make: Any) -> None:
        queue = make()
        start = time.monotonic()
        with pytest.raises(standard.Empty):
            queue.get(timeout=0.7)
        assert 0.7 <= time.monotonic() - start < 5

    def test_two_handles_are_one_queue(self, make: Any) -> None:
        first, second = make(create=True), make(create=False)
        first.put(1)
        assert second.get(timeout=10) == 1
        second.put(2)
        assert first.get(timeout=10) == 2

    def test_a_waiting_getter_gets_what_comes(self, make: Any) -> None:
        queue = make()
        got: list[Any] = []
        thread = threading.Thread(target=lambda: got.append(queue.get(timeout=30)))
        thread.start()
        queue.put("late")
        thread.join(30)
        assert got == ["late"]

    def test_many_threads(self, make: Any) -> None:
        queue = make()
        got: list[list[int]] = [[] for _ in range(4)]
        with queue.producing():
            threads = [
                threading.Thread(target=lambda n=n: [queue.put(n * 1000 + i) for i in range(200)])
                for n in range(4)
            ] + [threading.Thread(target=lambda n=n: got[n].extend(queue)) for n in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads[:4]:
                thread.join(60)
        for thread in threads[4:]:
            thread.join(60)
        assert sorted(functools.reduce(operator.iadd, got, [])) == sorted(
            n * 1000 + i for n in range(4) for i in range(200)
        )


class TestBounds:
    @pytest.mark.needs("exact_bounds")
    def test_maxsize_is_exact(self, make: Any) -> None:
        queue = make(maxsize=3)
        queue.put_many([1, 2])
        assert not queue.full()
        queue.put(3)
        assert queue.full()
        for call in (lambda: queue.put_nowait(4), lambda: queue.put(4, timeout=0.2)):
            with pytest.raises(standard.Full):
                call()
        assert [queue.get(timeout=10) for _ in range(3)] == [1, 2, 3]
        with pytest.raises(standard.Full) as full:
            queue.put_many(range(10), timeout=0.2)
        assert full.value.items_put == 3  # type: ignore[attr-defined]
        assert queue.get_many(10, timeout=10) == [0, 1, 2]

    @pytest.mark.needs("exact_bounds")
    def test_a_waiting_putter_puts_when_there_is_room(self, make: Any) -> None:
        queue = make(maxsize=1)
        queue.put(1)
        thread = threading.Thread(target=queue.put, args=(2,))
        thread.start()
        assert queue.get(timeout=10) == 1
        assert queue.get(timeout=30) == 2
        thread.join(30)

    @pytest.mark.needs("exact_bounds")
    def test_an_existing_queue_keeps_its_own(self, make: Any) -> None:
        make(maxsize=2)
        other = make(maxsize=50)
        other.put_many([1, 2])
        with pytest.raises(standard.Full):
            other.put_nowait(3)

    @pytest.mark.needs("exact_bytes")
    def test_what_can_never_fit(self, make: Any) -> None:
        queue = make(max_bytes=1000)
        with pytest.raises(ItemTooLarge, match="max_bytes"):
            queue.put(b"x" * 1001, timeout=5)
        queue.put(b"x" * 600)
        with pytest.raises(standard.Full):
            queue.put_nowait(b"x" * 600)
        assert len(queue.get(timeout=10)) == 600

    def test_wrong_arguments(self, make: Any) -> None:
        queue = make()
        for call in (
            lambda: queue.get_many(0),
            lambda: queue.lease_many(-1),
            lambda: queue.get(timeout=float("nan")),
            lambda: queue.put(1, timeout=float("nan")),
            lambda: queue.lease(lease_seconds=0),
            lambda: queue.expect_producers(-1),
        ):
            with pytest.raises(ValueError, match=r"max_items|timeout|lease_seconds|n is"):
                call()
        with pytest.raises(TypeError):
            queue.get(timeout="soon")
        with pytest.raises(TypeError):
            queue.put_many(5)


class TestState:
    def test_is_right_at_once(self, make: Any) -> None:
        queue = make()
        assert queue.empty()
        assert queue.qsize() == 0
        queue.put_many("abc")
        assert not queue.empty()
        assert queue.qsize() == 3
        assert not queue.full()
        queue.get(timeout=10)
        assert queue.qsize() == 2
        assert queue.statistics().depth == 2

    def test_satisfies_the_protocol(self, make: Any) -> None:
        assert isinstance(make(), protocols.Queue)

    def test_closed_takes_and_gives_no_more(self, make: Any) -> None:
        queue, other = make(), make()
        queue.put("left")
        queue.close()
        queue.close()
        for call in (
            lambda: queue.put(1),
            queue.get,
            queue.get_nowait,
            queue.lease,
            lambda: queue.put_many([1]),
        ):
            with pytest.raises(ValueError, match="closed"):
                call()
        queue.join_thread()
        assert other.get(timeout=10) == "left"

    def test_allocate(self, make: Any) -> None:
        queue = make()
        place = queue.allocate_bytes(5)
        place[:] = b"hello"
        queue.put(bytes(place))
        assert queue.get(timeout=10) == b"hello"
        with pytest.raises(ValueError, match="size"):
            queue.allocate_bytes(-1)


class TestNames:
    @pytest.mark.parametrize("create", [True, None])
    def test_create(self, url: str, create: bool | None) -> None:
        with pytest.raises(FileNotFoundError):
            conveyor.connect(url, create=False)
        queue = conveyor.connect(url, create=create)
        with pytest.raises(FileExistsError):
            conveyor.connect(url, create=True)
        queue.put(1)
        other = conveyor.connect(url, create=False)
        assert other.get(timeout=10) == 1
        queue.close()
        other.close()

    def test_remove(self, url: str, make: Any) -> None:
        with pytest.raises(FileNotFoundError):
            conveyor.remove(url)
        make().put("gone")
        conveyor.remove(url)
        with pytest.raises(FileNotFoundError):
            conveyor.connect(url, create=False)
        assert make().empty()

    def test_a_pickle_names_it(self, make: Any) -> None:
        queue = make()
        other = pickle.loads(pickle.dumps(queue))
        queue.put(1)
        assert other.get(timeout=10) == 1
        other.close()

    def test_a_queue_is_no_topic(self, url: str, make: Any) -> None:
        make()
        with pytest.raises((conveyor.WrongKind, conveyor.NotSupported)):
            conveyor.connect(url, kind="topic", create=False)
