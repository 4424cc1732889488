"""Topics that end by themselves, across processes: producers that leave, and producers that die."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import queue as standard
import signal
import time
import uuid
from collections import Counter
from typing import Any

import pytest
from helpers import METHODS, crew, finish, soundly_asleep, until

import conveyor
from conveyor import ProducerLost, Queue, ShutDown, Topic

methods = pytest.mark.parametrize("method", METHODS)
KIB = 2**10
SECOND = 1.0


def start(method: str, work: Any, *arguments: Any) -> Any:
    process = multiprocessing.get_context(method).Process(target=work, args=arguments)
    process.start()
    return process


# -- who listens ---------------------------------------------------------------------------------------


def iterate(subscription: Any, into: list[Any]) -> None:
    for event in subscription:
        into.append(event)


def get(subscription: Any, into: list[Any]) -> None:
    while True:
        into.append(subscription.get())


def get_many(subscription: Any, into: list[Any]) -> None:
    while True:
        into.extend(subscription.get_many(7))


def poll(subscription: Any, into: list[Any]) -> None:
    while True:
        try:
            into.append(subscription.get_nowait())
        except standard.Empty:
            os.sched_yield()


def iterate_in_coroutine(subscription: Any, into: list[Any]) -> None:
    async def main() -> None:
        async for event in subscription:
            into.append(event)

    asyncio.run(main())


def get_in_coroutine(subscription: Any, into: list[Any]) -> None:
    async def main() -> None:
        while True:
            into.append(await subscription.aget())

    asyncio.run(main())


SLEEPING = (iterate, get, get_many, iterate_in_coroutine, get_in_coroutine)


def listen(topic: Topic[Any], told: Any, by: Any, from_: str = "new") -> None:
    """Say when subscribed; then what came, and how it ended, twice."""
    with topic.subscribe(from_=from_) as subscription:
        told.put(os.getpid())
        events: list[Any] = []
        ends: list[Any] = []
        for _ in range(2):
            try:
                by(subscription, events)
                ends.append(None)
            except (ProducerLost, ShutDown) as end:
                ends.append(end)
        told.put((events, ends))


# -- who speaks ----------------------------------------------------------------------------------------


def speak(topic: Topic[Any], name: int, count: int) -> None:
    with topic.producing():
        for number in range(count):
            topic.publish((name, number, b"x" * (number % 300)))


def speak_and_stay(topic: Topic[Any], name: int, count: int, told: Any) -> None:
    with topic.producing():
        for number in range(count):
            topic.publish((name, number, b""))
        told.put(os.getpid())
        signal.pause()


def speak_without_end(topic: Topic[Any], name: int, told: Any) -> None:
    with topic.producing():
        told.put(os.getpid())
        for number in range(1 << 60):
            topic.publish((name, number, b"x" * (number % 300)))


# -- nobody dies ---------------------------------------------------------------------------------------


@methods
def test_many_producers_and_many_subscribers_without_a_sentinel(method: str) -> None:
    topic: Topic[Any] = Topic(max_bytes=256 * KIB)
    told: Queue[Any] = Queue()
    topic.expect_producers(4)
    with crew() as members:
        hearers = [start(method, listen, topic, told, by) for by in SLEEPING]
        members += hearers
        for _ in hearers:
            told.get(timeout=60)
        speakers = [start(method, speak, topic, name, 1000) for name in range(4)]
        members += speakers
        for speaker in speakers:
            finish(speaker)
        heard = [told.get(timeout=60) for _ in hearers]
        for hearer in hearers:
            finish(hearer)
    assert Counter(name for name, _, _ in heard[0][0]) == dict.fromkeys(range(4), 1000)
    for events, ends in heard:
        assert events == heard[0][0]
        assert all(end is None or type(end) is ShutDown for end in ends)
    assert topic._check() == ""


def test_who_never_came_keeps_it_open_until_the_shutdown() -> None:
    topic: Topic[Any] = Topic()
    topic.expect_producers(3)
    with crew() as members, topic.subscribe() as subscription:
        for name in range(2):
            members.append(start("fork", speak, topic, name, 10))
            finish(members[-1])  # gone before the next one comes
        assert len(subscription.get_many(timeout=10)) == 20
        with pytest.raises(standard.Empty):
            subscription.get(timeout=0.8)  # longer than it takes to look
        assert not topic.is_shutdown
        topic.shutdown()
        assert list(subscription) == []


def enter_below(topic: Topic[Any], told: Any) -> None:
    """A child that was forked inside, and is a producer of its own."""
    with topic.producing():
        child = os.fork()
        if child == 0:
            topic.publish("not yet a producer")
            with topic.producing():
                topic.publish("child")
                told.put(os.getpid())
                signal.pause()
        told.get()
        topic.publish("parent")
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def test_a_child_forked_inside_may_be_a_producer_and_be_lost() -> None:
    topic: Topic[str] = Topic()
    told: Queue[int] = Queue()
    topic.expect_producers(2)
    with crew() as members, topic.subscribe() as subscription:
        members.append(start("fork", enter_below, topic, told))
        received: list[Any] = []
        with pytest.raises(ProducerLost) as raised:
            iterate(subscription, received)
        assert received == ["not yet a producer", "child", "parent"]
        assert raised.value.items == 1
        assert raised.value.pid != members[0].pid
        finish(members[0])


# -- somebody dies -------------------------------------------------------------------------------------


@methods
def test_every_sleeping_subscriber_hears_of_a_killed_producer_within_a_second(method: str) -> None:
    best = 60.0
    for _ in range(3):  # the machine may be busy: one of three must be in time
        topic: Topic[Any] = Topic()
        told: Queue[Any] = Queue()
        with crew() as members:
            hearers = [start(method, listen, topic, told, by) for by in SLEEPING]
            members += hearers
            pids = [told.get(timeout=60) for _ in hearers]
            producer = start(method, speak_and_stay, topic, 0, 5, told)
            members.append(producer)
            pid = told.get(timeout=60)
            until(
                lambda topic=topic: not any(each.lag for each in topic.statistics().subscribers),
                "all is read",
            )
            for each in pids:
                until(lambda each=each: soundly_asleep(each), "it sleeps")
            os.kill(pid, signal.SIGKILL)
            killed = time.monotonic()
            heard = [told.get(timeout=60) for _ in hearers]
            best = min(best, time.monotonic() - killed)
            for events, ends in heard:
                assert events == [(0, number, b"") for number in range(5)]
                for lost in ends:
                    assert type(lost) is ProducerLost
                    assert (lost.pid, lost.items, lost.others) == (pid, 5, 0)
                    # Nobody has waited for it yet, unless a fork server did: its signal is there for all to see.
                    assert lost.signal == signal.SIGKILL or (method == "forkserver" and lost.signal is None)
            for hearer in hearers:
                finish(hearer)
            assert topic.is_shutdown
            with pytest.raises(ShutDown):
                topic.publish(1)
        if best < SECOND:
            return
    pytest.fail(f"it took {best:.2f} s")


def test_who_polls_hears_of_it_too() -> None:
    topic: Topic[Any] = Topic()
    told: Queue[Any] = Queue()
    with crew() as members:
        members.append(start("fork", listen, topic, told, poll))
        told.get(timeout=60)
        members.append(start("fork", speak_and_stay, topic, 0, 5, told))
        told.get(timeout=60)
        members[1].kill()
        events, ends = told.get(timeout=60)
        assert len(events) == 5
        assert [type(end) for end in ends] == [ProducerLost] * 2


@methods
def test_all_dead_before_anybody_subscribes(method: str) -> None:
    topic: Topic[Any] = Topic()
    told: Queue[Any] = Queue()
    topic.expect_producers(3)
    with crew() as members:
        members += [start(method, speak_and_stay, topic, name, 100, told) for name in range(3)]
        pids = {told.get(timeout=60) for _ in range(3)}
        for member in members:
            member.kill()
            member.join()
        assert not topic.is_shutdown
        members.append(start(method, listen, topic, told, iterate_in_coroutine, "oldest"))
        told.get(timeout=60)
        events, ends = told.get(timeout=60)
        assert Counter(name for name, _, _ in events) == dict.fromkeys(range(3), 100)
        assert all(end.pid in pids and (end.items, end.others) == (100, 2) for end in ends)
    assert topic.is_shutdown
    late = topic.subscribe(from_="oldest")
    received: list[Any] = []
    for _ in range(2):
        with pytest.raises(ProducerLost):
            get_many(late, received)
    assert received == events
    for call in (late.get, late.get_nowait, topic.subscribe().get_nowait, topic.subscribe().__next__):
        with pytest.raises(ProducerLost) as raised:
            call()
        assert raised.value.pid in pids
        assert raised.value.signal is None, "its parent has its exit code, and nobody else can ask"


@methods
def test_a_producer_killed_while_it_waits_for_room(method: str) -> None:
    topic: Topic[Any] = Topic(max_bytes=64 * KIB)
    told: Queue[Any] = Queue()
    with crew() as members, topic.subscribe() as subscription:
        members.append(start(method, speak_without_end, topic, 0, told))
        told.get(timeout=60)
        until(lambda: topic.statistics().publish_waits > 3, "it waits for room")
        members[0].kill()
        members[0].join()
        received: list[Any] = []
        with pytest.raises(ProducerLost) as raised:
            iterate(subscription, received)
        assert [number for _, number, _ in received] == list(range(len(received)))
        assert len(received) > 50
        assert raised.value.items == len(received)


@methods
def test_the_others_go_on_to_their_own_end(method: str) -> None:
    topic: Topic[Any] = Topic(max_bytes=64 * KIB)
    told: Queue[Any] = Queue()
    begun: Queue[int] = Queue()
    topic.expect_producers(5)
    with crew() as members:
        hearers = [start(method, listen, topic, told, by) for by in (iterate, get_many, iterate_in_coroutine)]
        members += hearers
        for _ in hearers:
            told.get(timeout=60)
        victims = [start(method, speak_without_end, topic, name, begun) for name in range(2)]
        members += victims
        for _ in victims:
            begun.get(timeout=60)
        others = [start(method, speak, topic, name, 500) for name in range(2, 5)]
        members += others
        pids = [victim.pid for victim in victims]
        for victim in victims:
            victim.kill()
            victim.join()
        for member in others:
            finish(member)
        heard = [told.get(timeout=60) for _ in hearers]
        for member in hearers:
            finish(member)
    counts = Counter(name for name, _, _ in heard[0][0])
    assert [counts[name] for name in range(2, 5)] == [500] * 3, "nothing of the others' is missing"
    for events, ends in heard:
        assert events == heard[0][0]
        for lost in ends:
            assert lost.others == 1
            assert lost.items == counts[pids.index(lost.pid)]
    assert topic._check() == ""


def test_a_shutdown_does_not_cover_up_a_loss_that_nobody_has_noticed() -> None:
    topic: Topic[Any] = Topic()
    told: Queue[Any] = Queue()
    topic.expect_producers(2)
    subscriptions = [topic.subscribe() for _ in range(2)]
    with crew() as members:
        members.append(start("fork", speak_and_stay, topic, 0, 3, told))
        pid = told.get(timeout=60)
        members[0].kill()
        members[0].join()
        topic.shutdown()
        for subscription in subscriptions:
            received: list[Any] = []
            with pytest.raises(ProducerLost) as raised:
                iterate(subscription, received)
            assert len(received) == 3
            assert (raised.value.pid, raised.value.items) == (pid, 3)


def speak_and_stay_named(url: str, told: Any) -> None:
    speak_and_stay(conveyor.connect(url, kind="topic"), 0, 2, told)


def test_unrelated_processes_on_a_named_topic() -> None:
    url = f"shm://test-{uuid.uuid4().hex}"
    topic = conveyor.connect(url, kind="topic", create=True)
    told: Queue[Any] = Queue()
    try:
        with crew() as members, topic.subscribe() as subscription:
            members.append(start("spawn", speak_and_stay_named, url, told))
            told.get(timeout=60)
            assert len(subscription.get_many()) == 2
            members[0].kill()
            with pytest.raises(ProducerLost) as raised:
                subscription.get(timeout=30)
            assert raised.value.pid == members[0].pid
        late = conveyor.connect(url, kind="topic", create=False)
        assert len(late.subscribe(from_="oldest").get_many()) == 2
        with pytest.raises(ProducerLost):
            late.subscribe().get_nowait()
    finally:
        conveyor.remove(url)


def test_coroutines_that_wait_are_told() -> None:
    async def main() -> None:
        topic: Topic[Any] = Topic()
        told: Queue[Any] = Queue()
        with crew() as members:
            waiting = [asyncio.create_task(topic.subscribe().aget()) for _ in range(10)]
            await asyncio.sleep(0)
            members.append(start("fork", speak_and_stay, topic, 0, 0, told))
            pid = told.get(timeout=60)
            members[0].kill()
            for task in waiting:
                with pytest.raises(ProducerLost) as raised:
                    await asyncio.wait_for(task, 30)
                assert (raised.value.pid, raised.value.items) == (pid, 0)

    asyncio.run(main())
