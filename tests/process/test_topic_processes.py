"""Topics between processes: every start method, deaths, and asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import queue as standard
import signal
import time
import uuid
from typing import Any

import numpy as np
import pytest
from helpers import METHODS, crew, finish, python, soundly_asleep, until

import conveyor
from conveyor import Queue, ShutDown, Topic

methods = pytest.mark.parametrize("method", METHODS)
KIB, MIB = 2**10, 2**20
SECOND = 1.0


def start(method: str, work: Any, *arguments: Any) -> Any:
    process = multiprocessing.get_context(method).Process(target=work, args=arguments)
    process.start()
    return process


def listen(topic: Topic[Any], told: Any, options: dict[str, Any]) -> None:
    """Say when subscribed, then what came."""
    with topic.subscribe(**options) as subscription:
        told.put("subscribed")
        told.put((list(subscription), subscription.missed))


def hold_still(topic: Topic[Any], told: Any, options: dict[str, Any]) -> None:
    """Subscribe, read one event, and read no more."""
    subscription = topic.subscribe(**options)
    told.put("subscribed")
    told.put(kept := subscription.get())
    signal.pause()
    print(kept)


def speak(topic: Topic[Any], name: int, count: int) -> None:
    for number in range(count):
        topic.publish((name, number), key=f"from.{name}")


@methods
def test_everybody_gets_every_event_in_one_order(method: str) -> None:
    topic: Topic[Any] = Topic(max_bytes=MIB)
    told: Queue[Any] = Queue()
    with crew() as members:
        for _ in range(3):
            members.append(start(method, listen, topic, told, {}))
        members.append(start(method, listen, topic, told, {"keys": "*.1"}))
        assert [told.get(timeout=60) for _ in range(4)] == ["subscribed"] * 4
        speakers = [start(method, speak, topic, name, 5000) for name in range(2)]
        members.extend(speakers)
        for speaker in speakers:
            finish(speaker)
        topic.shutdown()
        heard = sorted((told.get(timeout=60)[0] for _ in range(4)), key=len)
        for member in members:
            finish(member)
    assert heard[0] == [(1, number) for number in range(5000)]
    assert heard[1] == heard[2] == heard[3]
    assert [event for event in heard[1] if event[0] == 0] == [(0, number) for number in range(5000)]
    assert topic._check() == ""


@methods
def test_a_dead_subscriber_blocks_nobody_for_more_than_a_second(method: str) -> None:
    topic: Topic[bytes] = Topic(max_bytes=256 * KIB)
    told: Queue[Any] = Queue()
    with crew() as members:
        members.append(start(method, hold_still, topic, told, {}))
        assert told.get(timeout=60) == "subscribed"
        topic.publish(b"")
        assert told.get(timeout=60) == b""
        with pytest.raises(standard.Full):
            topic.publish_many([b"x" * 1000] * 1000, timeout=0)
        members[0].kill()
        begun = time.monotonic()
        topic.publish_many([b"x" * 1000] * 1000, timeout=10)
        assert time.monotonic() - begun < SECOND
    assert topic.statistics().subscribers == ()


def test_a_publisher_that_never_waits_gets_past_the_dead_too() -> None:
    topic: Topic[bytes] = Topic(max_bytes=256 * KIB)
    told: Queue[Any] = Queue()

    def published() -> bool:
        try:
            topic.publish(b"x" * 1000, timeout=0)
        except standard.Full:
            return False
        return True

    with crew() as members:
        members.append(start("fork", hold_still, topic, told, {}))
        assert told.get(timeout=60) == "subscribed"
        topic.publish(b"")
        assert told.get(timeout=60) == b""
        while published():
            pass
        members[0].kill()
        until(published, "the dead one's slot is taken", SECOND)


def test_a_dead_processes_views_are_freed() -> None:
    topic: Topic[Any] = Topic(max_bytes=4 * MIB)
    told: Queue[Any] = Queue()
    with crew() as members:
        members.append(start("fork", hold_still, topic, told, {"when_slow": "drop_oldest"}))
        assert told.get(timeout=60) == "subscribed"
        topic.publish(np.ones(60_000))
        assert told.get(timeout=60).sum() == 60_000
        for _ in range(50):
            topic.publish(np.zeros(60_000), timeout=0)
        assert topic.statistics().memory_pinned > 480_000
        members[0].kill()
        members[0].join()

        def freed() -> bool:
            topic.publish(np.zeros(60_000), timeout=0)
            return topic.statistics().memory_pinned == 0

        until(freed, "what the dead had pinned is freed when publishers come by", SECOND)
    assert topic._check() == ""


@pytest.mark.parametrize("when_slow", ["drop_oldest", "fail"])
def test_a_stopped_subscriber_that_may_be_overrun_holds_up_nobody(when_slow: str) -> None:
    topic: Topic[int] = Topic(max_bytes=64 * KIB)
    told: Queue[Any] = Queue()
    with crew() as members:
        members.append(start("fork", listen, topic, told, {"when_slow": when_slow}))
        assert told.get(timeout=60) == "subscribed"
        topic.publish(0)
        os.kill(members[0].pid or 0, signal.SIGSTOP)
        begun = time.monotonic()
        topic.publish_many(range(1, 20_000))
        assert time.monotonic() - begun < SECOND
        topic.shutdown()
        os.kill(members[0].pid or 0, signal.SIGCONT)
        if when_slow == "drop_oldest":
            events, missed = told.get(timeout=60)
            assert len(events) + missed == 20_000
            assert events[-1] == 19_999
            finish(members[0])
        else:
            members[0].join(60)
            assert members[0].exitcode == 1  # Lagged


@pytest.mark.parametrize("seed", range(4))
def test_a_publisher_killed_anywhere_leaves_nothing_half_published(seed: int) -> None:
    topic: Topic[Any] = Topic(max_bytes=MIB)
    subscription = topic.subscribe()
    with crew() as members:
        for name in range(2):
            members.append(start("fork", publish_for_ever, topic, name))
        last = {0: -1, 1: -1}
        end = time.monotonic() + 0.3 + seed / 50
        while time.monotonic() < end:
            hear(subscription.get(timeout=10), last)
        members[0].kill()
        after = last[1] + 20_000
        while last[1] < after:  # the other goes on
            hear(subscription.get(timeout=10), last)
        members[1].kill()
        for member in members:
            member.join()
        with contextlib.suppress(standard.Empty):
            while True:
                hear(subscription.get_nowait(), last)
    topic.publish("still", timeout=5)
    assert subscription.get(timeout=5) == "still"
    assert subscription.missed == 0
    assert topic._check() == ""


def publish_for_ever(topic: Topic[Any], name: int) -> None:
    number = 0
    while True:
        topic.publish((name, number, bytes([number % 251]) * (number % 300)))
        number += 1


def hear(event: tuple[int, int, bytes], last: dict[int, int]) -> None:
    name, number, content = event
    assert number == last[name] + 1
    assert content == bytes([number % 251]) * (number % 300)
    last[name] = number


@methods
def test_a_waiting_subscriber_wakes_at_once_and_costs_nothing(method: str) -> None:
    topic: Topic[Any] = Topic()
    told: Queue[Any] = Queue()
    with crew() as members:
        for _ in range(4):
            members.append(start(method, listen, topic, told, {}))
        for _ in range(4):
            assert told.get(timeout=60) == "subscribed"
        for member in members:
            until(lambda pid=member.pid: soundly_asleep(pid or 0), "the subscriber sleeps")
        begun = time.monotonic()
        topic.publish(1)
        topic.shutdown()
        assert [told.get(timeout=10)[0] for _ in range(4)] == [[1]] * 4
        assert time.monotonic() - begun < 0.5
        for member in members:
            finish(member)


def test_a_subscription_is_its_makers_alone() -> None:
    topic: Topic[int] = Topic()
    subscription = topic.subscribe()
    topic.publish_many([1, 2])
    child = os.fork()
    if child == 0:
        code = 1
        try:
            with contextlib.suppress(RuntimeError):
                subscription.get()
                os._exit(2)
            subscription.close()
            code = 0 if topic.subscribe(from_="oldest").get() == 1 else 3
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    assert subscription.get_many() == [1, 2]
    assert len(topic.statistics().subscribers) == 1


def test_a_named_topic_outlives_its_processes_and_the_tools_know_it() -> None:
    name = f"test-{uuid.uuid4().hex}"
    url = f"shm://{name}?kind=topic"
    publish = (
        f"import conveyor; t = conveyor.connect({url!r}, max_bytes=2**20); t.publish_many([1, 2], key='a.b')"
    )
    try:
        done = python(publish)
        assert done.returncode == 0, done.stderr
        topic = conveyor.connect(url, kind="topic", create=False)
        assert topic.subscribe("a.*", from_="oldest").get_many() == [1, 2]
        for command, text in (("info", "bytes kept"), ("doctor", "a topic"), ("gc --dry-run", name)):
            told = python(
                f"import sys; sys.argv[1:] = {[*command.split(), f'shm://{name}']!r}\n"
                "import runpy; runpy.run_module('conveyor', run_name='__main__')"
            )
            assert text in told.stdout + told.stderr, (command, told)
            assert "Traceback" not in told.stderr
        del topic
        python(
            f"import sys; sys.argv[1:] = ['gc', 'shm://{name}']\n"
            "import runpy; runpy.run_module('conveyor', run_name='__main__')"
        )
        conveyor.connect(url, kind="topic", create=False)  # it is no rubbish: somebody may come
    finally:
        conveyor.remove(url)


class TestCoroutines:
    def test_read_and_publish(self) -> None:
        async def read(topic: Topic[int]) -> list[int]:
            with topic.subscribe() as subscription:
                return [event async for event in subscription]

        async def work() -> None:
            topic: Topic[int] = Topic(max_bytes=64 * KIB)
            readers = [asyncio.create_task(read(topic)) for _ in range(20)]
            await asyncio.sleep(0)
            for number in range(500):
                await topic.apublish(number)
            await topic.apublish_many(range(500, 5000))
            topic.shutdown()
            for reader in readers:
                assert await asyncio.wait_for(reader, 30) == list(range(5000))
            with pytest.raises(ShutDown):
                await topic.apublish(1)

        asyncio.run(work())

    def test_times_out_and_is_cancelled_without_loss(self) -> None:
        async def work() -> None:
            topic: Topic[Any] = Topic(max_bytes=64 * KIB)
            subscription = topic.subscribe()
            with pytest.raises(standard.Empty):
                await subscription.aget(timeout=0.02)
            task = asyncio.create_task(subscription.aget())
            await asyncio.sleep(0.02)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            topic.publish("there")
            assert await subscription.aget(timeout=5) == "there"
            with pytest.raises(standard.Full) as raised:
                await topic.apublish_many([b"x" * 1000] * 100, timeout=0.05)
            assert 50 < raised.value.events_published < 64  # type: ignore[attr-defined]

        asyncio.run(work())

    def test_another_process_wakes_them(self) -> None:
        async def work(topic: Topic[Any]) -> list[Any]:
            with topic.subscribe() as subscription:
                process = start("fork", speak, topic, 3, 1000)
                got = [await subscription.aget(timeout=30) for _ in range(1000)]
                finish(process)
            return got

        assert asyncio.run(work(Topic())) == [(3, number) for number in range(1000)]
