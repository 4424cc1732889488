"""What amqp:// takes ahead of those who get: it is lost to nobody, kept from nobody, and counts as nothing."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import programs
import pytest

import conveyor
from conveyor import BadMessage, Empty, ShutDown
from servers.registry import shared

COUNT = 400


@pytest.fixture
def url() -> Iterator[str]:
    url = shared("rabbitmq").url(f"test-{uuid.uuid4().hex}")
    yield url
    with contextlib.suppress(FileNotFoundError):
        conveyor.remove(url)


@pytest.fixture
def make(url: str) -> Iterator[Callable[..., Any]]:
    made: list[Any] = []

    def connect(**options: Any) -> Any:
        made.append(conveyor.connect(url, **options))
        return made[-1]

    yield connect
    for queue in made:
        queue.close()


def killed(target: Callable[..., None], url: str) -> list[int]:
    """What a process had got that has killed itself."""
    told: Any = conveyor.Queue()
    process = multiprocessing.get_context("spawn").Process(target=target, args=(url, told))
    process.start()
    got: list[int] = told.get(timeout=60)
    process.join(60)
    assert process.exitcode == -9
    process.close()
    return got


def drained(queue: Any) -> list[int]:
    got: list[int] = []
    with contextlib.suppress(Empty):
        while True:
            got.append(queue.get(timeout=1))
    return got


class TestDeath:
    def test_what_lay_ready_comes_back_in_order_and_what_was_got_does_not(self, url: str, make: Any) -> None:
        queue = make()
        queue.put_many(range(COUNT))
        got = killed(programs.get_until_ahead, url)
        assert got == list(range(len(got)))
        rest: list[int] = []
        while len(rest) < COUNT - len(got):
            rest += queue.get_many(COUNT, timeout=10)
        assert rest == list(range(len(got), COUNT))

    def test_it_is_no_attempt(self, url: str, make: Any) -> None:
        queue = make(max_attempts=1)
        queue.put_many(range(60))
        got = killed(programs.get_thirty, url)
        assert got == list(range(30))
        assert drained(queue) == list(range(30, 60))
        assert queue.statistics().dead == 0


class Interrupted(Exception):
    pass


class TestSignals:
    def test_who_is_interrupted_leaves_nothing_half_taken(self, make: Any) -> None:
        """A handler raises at any moment: one call at most loses what it had, and nothing is there twice."""
        queue = make()
        queue.put_many(range(20 * COUNT))
        got: list[int] = []
        interrupted = 0

        def interrupt(*_: object) -> None:
            raise Interrupted

        before = signal.signal(signal.SIGALRM, interrupt)
        try:
            while len(got) < 15 * COUNT:
                try:
                    signal.setitimer(signal.ITIMER_REAL, 0.002)
                    while True:
                        got.append(queue.get(timeout=60))
                except (Interrupted, BadMessage):  # while it was read
                    interrupted += 1
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        got += drained(queue)
        assert interrupted > 10
        assert len(got) == len(set(got))
        assert 20 * COUNT - len(got) <= interrupted
        queue.close()
        assert drained(make()) == []


class TestOthers:
    def test_who_waits_gets_what_lies_ready_elsewhere_in_order(self, make: Any) -> None:
        busy, waiting = make(), make()
        busy.put_many(range(COUNT))
        got = programs.until_ahead(busy)
        began = time.monotonic()
        rest = [waiting.get(timeout=10) for _ in range(COUNT - len(got))]
        assert sorted(got + rest) == list(range(COUNT))
        # Those that lay ready, when it first looked, came as soon as they were back.
        first = rest.index(len(got))
        assert rest[first:] == sorted(rest[first:])
        assert time.monotonic() - began < 10

    def test_two_that_take_the_same_time_get_much_the_same(self, make: Any) -> None:
        first, second = make(), make()
        first.put_many(range(300))
        got: dict[str, list[int]] = {"first": [], "second": []}

        def work(name: str, queue: Any) -> None:
            with contextlib.suppress(Empty):
                while True:
                    got[name].append(queue.get(timeout=2))
                    time.sleep(0.003)

        threads = [
            threading.Thread(target=work, args=each) for each in (("first", first), ("second", second))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert sorted(got["first"] + got["second"]) == list(range(300))
        assert min(len(each) for each in got.values()) > 60

    @pytest.mark.parametrize("least", [10, 100])
    def test_close_gives_back_in_order(self, make: Any, least: int) -> None:
        busy, other = make(), make()
        busy.put_many(range(2000))
        got: list[int] = []
        while len(busy._link.backend._inbox) < least:
            got += busy.get_many(least, timeout=10)
        busy.close()
        rest: list[int] = []
        while len(rest) < 2000 - len(got):
            rest += other.get_many(2000, timeout=10)
        assert got + rest == list(range(2000))

    def test_it_lies_in_no_childs_way(self, make: Any) -> None:
        queue = make()
        queue.put_many(range(COUNT))
        got = programs.until_ahead(queue)
        results: Any = conveyor.Queue()
        child = multiprocessing.get_context("fork").Process(target=programs.pass_on, args=(queue, results))
        child.start()
        got.append(results.get(timeout=60))
        child.join(60)
        child.close()
        assert sorted(got + drained(queue)) == list(range(COUNT))


class TestState:
    def test_it_is_counted(self, make: Any) -> None:
        queue, other = make(), make()
        queue.put_many(range(COUNT))
        got = programs.until_ahead(queue)
        assert queue.qsize() == COUNT - len(got)
        assert not other.empty()

    def test_at_the_end_it_is_waited_for(self, make: Any) -> None:
        busy, other = make(), make()
        busy.put_many(range(COUNT))
        got = programs.until_ahead(busy)
        busy.shutdown()
        assert sorted(got + list(other)) == list(range(COUNT))

    def test_an_immediate_end_drops_it(self, make: Any) -> None:
        queue, other = make(), make()
        queue.put_many(range(COUNT))
        programs.until_ahead(queue)
        queue.shutdown(immediate=True)
        for call in (queue.get, other.get, queue.get_nowait):
            with pytest.raises(ShutDown):
                call()
        assert queue.qsize() == 0

    def test_that_nothing_is_there_is_exact(self, make: Any) -> None:
        queue = make()
        for number in range(100):
            queue.put(number)
            assert queue.get_nowait() == number
            with pytest.raises(Empty):
                queue.get_nowait()
