"""Topics that end by themselves, within one process."""

from __future__ import annotations

import asyncio
import pickle
import queue as standard
import uuid
from contextvars import copy_context
from typing import Any

import pytest
from callers import Caller

import conveyor
from conveyor import Full, Queue, ShutDown, Topic
from conveyor.topics._aio_wait import deadline_after, wait_for_room

KIB = 2**10


def publish(topic: Topic[Any], *events: Any) -> None:
    with topic.producing():
        topic.publish_many(events)


class TestProducing:
    def test_the_last_to_leave_ends_the_topic_for_every_subscriber(self) -> None:
        topic: Topic[int] = Topic()
        subscriptions = [topic.subscribe() for _ in range(3)]
        with topic.producing() as it:
            assert it is topic
            topic.publish(1)
            with topic.producing():
                topic.publish(2)
            assert not topic.is_shutdown
        assert topic.is_shutdown
        for subscription in subscriptions:
            assert list(subscription) == [1, 2]
            assert list(subscription) == []
            for call in (subscription.get, subscription.get_nowait, subscription.get_many):
                for _ in range(2):
                    with pytest.raises(ShutDown):
                        call()
        with pytest.raises(ShutDown):
            topic.publish(3)

    def test_the_end_is_for_who_comes_late_too(self) -> None:
        topic: Topic[int] = Topic()
        publish(topic, 1, 2, 3)
        assert list(topic.subscribe(from_="oldest")) == [1, 2, 3]
        assert list(topic.subscribe(from_=2)) == [3]
        assert list(topic.subscribe()) == []

    def test_waits_for_those_who_are_expected(self) -> None:
        topic: Topic[int] = Topic()
        subscription = topic.subscribe()
        topic.expect_producers(2)
        with topic.producing(), topic.producing():  # of one thread: one producer
            topic.publish(1)
        assert not topic.is_shutdown
        assert subscription.get_many() == [1]
        with pytest.raises(standard.Empty):
            subscription.get_nowait()
        Caller(publish, topic, 2).result()
        assert topic.is_shutdown
        assert list(subscription) == [2]

    def test_threads_of_one_process(self) -> None:
        topic: Topic[tuple[int, int]] = Topic(max_bytes=64 * KIB)

        def write(number: int) -> None:
            with topic.producing():
                for i in range(500):
                    topic.publish((number, i))

        topic.expect_producers(8)
        readers = [Caller(list, topic.subscribe()) for _ in range(3)]
        for writer in [Caller(write, number) for number in range(8)]:
            writer.result()
        got = [reader.result() for reader in readers]
        assert sorted(got[0]) == [(number, i) for number in range(8) for i in range(500)]
        assert got[0] == got[1] == got[2]

    def test_another_task_of_the_thread_is_a_producer_of_its_own(self) -> None:
        topic: Topic[int] = Topic()
        topic.expect_producers(2)
        first, second = topic.producing(), topic.producing()
        one, two = copy_context(), copy_context()
        one.run(first.__enter__)
        two.run(second.__enter__)
        one.run(first.__exit__, None, None, None)
        assert not topic.is_shutdown
        two.run(second.__exit__, None, None, None)
        assert topic.is_shutdown

    def test_a_queue_and_two_topics_are_strangers(self) -> None:
        one: Topic[int] = Topic()
        two: Topic[int] = Topic()
        queue: Queue[int] = Queue()
        for each in (one, two, queue):
            each.expect_producers(1)  # type: ignore[attr-defined]
        with one.producing(), queue.producing(), two.producing():
            pass
        assert one.is_shutdown
        assert two.is_shutdown
        assert queue.is_shutdown

    def test_two_handles_are_one_topic(self) -> None:
        name = f"test-{uuid.uuid4().hex}"
        topic: Topic[int] = Topic(name)
        try:
            others = [
                pickle.loads(pickle.dumps(topic)),
                conveyor.connect(f"shm://{name}", kind="topic", create=False),
            ]
        finally:
            conveyor.remove(f"shm://{name}")
        topic.expect_producers(2)
        with topic.producing(), others[0].producing(), others[1].producing():
            pass
        assert not topic.is_shutdown
        others[0].expect_producers(0)
        assert topic.is_shutdown
        assert others[1].is_shutdown

    def test_nobody_expected_and_nobody_inside_is_the_end(self) -> None:
        topic: Topic[int] = Topic()
        getter = Caller(topic.subscribe().get).asleep()
        topic.expect_producers(0)
        with pytest.raises(ShutDown):
            getter.result()

    def test_who_waits_for_room_hears_of_the_end(self) -> None:
        topic: Topic[bytes] = Topic(max_bytes=64 * KIB)
        subscription = topic.subscribe()
        with topic.producing():
            with pytest.raises(standard.Full):
                topic.publish_many([b"x" * 1000] * 100, timeout=0)
            publisher = Caller(topic.publish, b"x" * 10_000).asleep()
        with pytest.raises(ShutDown):
            publisher.result()
        assert len(list(subscription)) > 50

    def test_a_block_left_by_an_exception_is_left(self) -> None:
        topic: Topic[int] = Topic()
        with pytest.raises(ZeroDivisionError), topic.producing():
            raise ZeroDivisionError
        assert list(topic.subscribe()) == []

    def test_after_the_end_nobody_may_enter(self) -> None:
        topic: Topic[int] = Topic()
        topic.shutdown()
        with pytest.raises(ShutDown), topic.producing():
            pytest.fail("entered")
        with pytest.raises(ShutDown):
            topic.expect_producers(1)

    def test_a_shutdown_meanwhile_does_not_disturb_leaving(self) -> None:
        topic: Topic[int] = Topic()
        subscription = topic.subscribe()
        with topic.producing():
            topic.publish(1)
            topic.shutdown()
            with pytest.raises(ShutDown):
                topic.publish(2)
        assert list(subscription) == [1]

    def test_a_block_is_entered_once(self) -> None:
        topic: Topic[int] = Topic()
        block = topic.producing()
        with block, pytest.raises(RuntimeError, match="entered already"), block:
            pytest.fail("entered")
        assert topic.is_shutdown

    @pytest.mark.parametrize("n", [-1, 2**24, 2**80])
    def test_absurd_numbers(self, n: int) -> None:
        topic: Topic[int] = Topic()
        with pytest.raises(ValueError, match="must be from 0 to"):
            topic.expect_producers(n)
        with pytest.raises(TypeError, match="n is 'two'; it must be an integer"):
            topic.expect_producers("two")  # type: ignore[arg-type]
        assert not topic.is_shutdown

    def test_a_subscriber_waits_while_somebody_is_inside(self) -> None:
        topic: Topic[int] = Topic()
        subscription = topic.subscribe()
        with topic.producing():
            with pytest.raises(standard.Empty):
                subscription.get(timeout=0.7)  # longer than it takes to look after the producers
            with pytest.raises(standard.Empty):
                subscription.get_nowait()
            topic.publish(1)
        assert list(subscription) == [1]


class TestCoroutines:
    def test_each_task_is_a_producer(self) -> None:
        async def speak(topic: Topic[int], number: int) -> None:
            with topic.producing():
                for i in range(300):
                    await topic.apublish(number * 1000 + i)

        async def hear(topic: Topic[int]) -> list[int]:
            with topic.subscribe() as subscription:
                return [event async for event in subscription]

        async def work() -> None:
            topic: Topic[int] = Topic(max_bytes=64 * KIB)
            topic.expect_producers(3)
            hearers = [asyncio.create_task(hear(topic)) for _ in range(4)]
            await asyncio.sleep(0)
            await asyncio.gather(*(speak(topic, number) for number in range(3)))
            heard = [await asyncio.wait_for(each, 30) for each in hearers]
            assert sorted(heard[0]) == [number * 1000 + i for number in range(3) for i in range(300)]
            assert heard[1:] == heard[:1] * 3
            with pytest.raises(ShutDown):
                await topic.subscribe().aget()

        asyncio.run(work())


@pytest.mark.parametrize("kind", ["tasks", "threads of asyncio's"])
def test_tasks_that_begin_inside_a_block_are_producers_of_their_own(kind: str) -> None:
    """They inherit the context; each counts as one of those that were expected."""
    topic: Topic[int] = Topic()
    queue: Queue[int] = Queue()

    async def produce(whose: Any) -> None:
        with whose.producing():
            await asyncio.sleep(0)

    def produce_in_thread(whose: Any) -> None:
        with whose.producing():
            pass

    async def run(whose: Any) -> None:
        whose.expect_producers(3)
        with whose.producing():
            if kind == "tasks":
                await asyncio.gather(produce(whose), produce(whose))
            else:
                await asyncio.gather(*(asyncio.to_thread(produce_in_thread, whose) for _ in range(2)))
            assert not whose.is_shutdown

    with topic.subscribe() as subscription:
        for whose in (topic, queue):
            asyncio.run(run(whose))
            assert whose.is_shutdown
        with pytest.raises(ShutDown):
            subscription.get(timeout=10)


def test_room_that_was_made_before_a_coroutine_waited_for_it() -> None:
    topic: Topic[bytes] = Topic(max_bytes=65536)
    with topic.subscribe() as subscription:
        with pytest.raises(Full):
            while True:
                topic.publish(bytes(1000), timeout=0)
        while subscription.lag:
            subscription.get_nowait()

        async def wait() -> bool:
            return await wait_for_room(topic, deadline_after(20))

        assert asyncio.run(wait())


@pytest.mark.parametrize("how", ["here", "thread", "block"])
def test_closing_is_told_to_coroutines_that_wait(how: str) -> None:
    topic: Topic[int] = Topic()

    async def run() -> None:
        with topic.subscribe() as closed, topic.subscribe() as other:
            waiting = [asyncio.create_task(closed.aget()) for _ in range(3)]
            goes_on = asyncio.create_task(other.aget())
            await asyncio.sleep(0)
            if how == "here":
                closed.close()
            elif how == "thread":
                await asyncio.to_thread(closed.close)
            else:
                with closed:
                    pass
            async with asyncio.timeout(20):
                for outcome in await asyncio.gather(*waiting, return_exceptions=True):
                    assert isinstance(outcome, ValueError)
                topic.publish(1)
                assert await goes_on == 1

    asyncio.run(run())
