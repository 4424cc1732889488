"""What cannot be read under lease, from a pipe or from a topic: its bytes, and who sent it, are never lost."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from typing import Any

import pytest
from helpers import METHODS
from poison import CARRIED, Poison, Unknown, carried, cure, is_same, put_from

import conveyor
from conveyor import DeadLetter

KINDS = [conveyor.Queue, conveyor.JoinableQueue, conveyor.SimpleQueue]


@pytest.fixture(autouse=True)
def ill() -> Iterator[None]:
    Poison.cured = False
    yield
    Poison.cured = False


class Interrupting:
    def __reduce__(self) -> tuple[Any, ...]:
        return _interrupt, ()


def _interrupt() -> None:
    raise KeyboardInterrupt


class TestLeases:
    @pytest.mark.parametrize("content", CARRIED, ids=lambda content: type(content).__name__)
    @pytest.mark.parametrize("kind", [conveyor.Queue, conveyor.JoinableQueue])
    def test_it_becomes_a_dead_letter(self, kind: Any, content: Any) -> None:
        dead = conveyor.Queue[DeadLetter[Any]]()
        queue = kind(max_attempts=2, dead_letters=dead)
        queue.put(Poison(carried(content)))
        for _ in range(2):
            with pytest.raises(Unknown) as caught:
                queue.lease(0)
            assert is_same(cure(caught.value), content)
            assert caught.value.producer_pid == os.getpid()  # type: ignore[attr-defined]
        letter = dead.get(timeout=5)
        assert letter.attempts == 2
        assert letter.error.endswith("Unknown: cannot be made here")
        assert letter.item == letter.raw
        assert letter.pid == letter.producer_pid == os.getpid()
        assert is_same(cure(letter), content)
        seen = queue.statistics()
        assert (seen.dead, seen.leased, seen.depth) == (0, 0, 0)
        assert queue._check() == ""

    def test_a_joinable_queue_has_done_with_it(self) -> None:
        dead = conveyor.Queue[DeadLetter[Any]]()
        queue = conveyor.JoinableQueue[Any](max_attempts=1, dead_letters=dead)
        queue.put(Poison())
        with pytest.raises(Unknown):
            queue.lease(0)
        assert queue.join(5)

    @pytest.mark.parametrize("start", METHODS)
    def test_the_letter_says_who_sent_it_and_who_had_it(self, start: str) -> None:
        dead = conveyor.Queue[DeadLetter[Any]]()
        queue = conveyor.Queue[Any](max_attempts=1, dead_letters=dead)
        pid = put_from(start, queue.put, Poison)
        with pytest.raises(Unknown):
            queue.lease(0)
        letter = dead.get(timeout=5)
        assert (letter.pid, letter.producer_pid) == (os.getpid(), pid)

    def test_of_a_readable_item_it_says_who_sent_it(self) -> None:
        dead = conveyor.Queue[DeadLetter[Any]]()
        queue = conveyor.Queue[int](max_attempts=1, dead_letters=dead)
        pid = put_from("fork", queue.put, 7)
        queue.lease().reject("no")
        letter = dead.get(timeout=5)
        assert (letter.item, letter.raw, letter.producer_pid) == (7, None, pid)

    def test_many_the_good_ones_arrive_and_the_bad_ones_go(self) -> None:
        dead = conveyor.Queue[DeadLetter[Any]]()
        queue = conveyor.Queue[Any](max_attempts=1, dead_letters=dead)
        queue.put_many([1, Poison("a"), 2, Poison("b")])
        with queue.lease_many() as items:
            assert items == [1, 2]
        assert [cure(letter).carries for letter in dead.get_many()] == ["a", "b"]

    def test_ctrl_c_gives_all_of_them_back(self) -> None:
        queue = conveyor.Queue[Any]()
        queue.put_many([1, Interrupting(), 2])
        with pytest.raises(KeyboardInterrupt):
            queue.lease_many()
        assert queue.statistics().leased == 0
        assert queue.qsize() == 3
        assert queue.get() == 1

    def test_for_coroutines(self) -> None:
        dead = conveyor.Queue[DeadLetter[Any]]()
        queue = conveyor.Queue[Any](max_attempts=1, dead_letters=dead)
        queue.put(Poison("it"))

        async def take() -> None:
            async with queue.alease():
                pass

        with pytest.raises(Unknown) as caught:
            asyncio.run(take())
        assert cure(caught.value).carries == "it"
        assert cure(asyncio.run(dead.aget(5))).carries == "it"


class TestPipesAndTopics:
    @pytest.mark.parametrize("duplex", [True, False])
    @pytest.mark.parametrize("content", CARRIED, ids=lambda content: type(content).__name__)
    def test_a_pipe(self, content: Any, duplex: bool) -> None:
        receiving, sending = conveyor.Pipe(duplex)
        with receiving, sending:
            sending.send(Poison(carried(content)))
            sending.send("next")
            with pytest.raises(Unknown) as caught:
                receiving.recv()
            assert is_same(cure(caught.value), content)
            assert caught.value.producer_pid == os.getpid()  # type: ignore[attr-defined]
            assert receiving.recv() == "next"

    @pytest.mark.parametrize("content", CARRIED, ids=lambda content: type(content).__name__)
    def test_a_topic(self, content: Any) -> None:
        topic = conveyor.Topic[Any]()
        with topic.subscribe() as one, topic.subscribe() as other:
            pid = put_from("fork", topic.publish, Poison(carried(content)), "next")
            for subscription in (one, other):
                with pytest.raises(Unknown) as caught:
                    subscription.get()
                assert caught.value.producer_pid == pid  # type: ignore[attr-defined]
                assert is_same(cure(caught.value), content)
                assert subscription.get() == "next"

    def test_many_events(self) -> None:
        topic = conveyor.Topic[Any]()
        with topic.subscribe() as subscription:
            topic.publish_many([1, 2, Poison("it"), 3])
            assert subscription.get_many() == [1, 2]
            with pytest.raises(Unknown) as caught:
                subscription.get_many()
            assert cure(caught.value).carries == "it"
            assert subscription.get_many() == [3]

    def test_events_by_iteration_and_for_coroutines(self) -> None:
        topic = conveyor.Topic[Any]()
        with topic.subscribe() as subscription:
            topic.publish_many([Poison("a"), Poison("b"), 3])
            topic.shutdown()
            with pytest.raises(Unknown) as caught:
                next(iter(subscription))
            assert cure(caught.value).carries == "a"
            with pytest.raises(Unknown) as caught:
                asyncio.run(subscription.aget())
            assert cure(caught.value).carries == "b"
            assert list(subscription) == [3]
