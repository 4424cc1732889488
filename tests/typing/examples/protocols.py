"""The protocols: what all queues and topics satisfy. Checked by mypy and pyright (test_typing.py); never run."""

from typing import Any, assert_type

import conveyor
from conveyor import connect
from conveyor.protocols import Lease, Queue, Subscription, Topic


def work(jobs: Queue[str]) -> None:
    jobs.put("x")
    jobs.put(1)  # wrong
    assert_type(jobs.get(timeout=1), str)
    assert_type(jobs.get_many(10), list[str])
    assert_type(jobs.peek(), list[str])
    assert_type(jobs.purge(), int)
    with jobs.lease() as item:
        assert_type(item, str)
    with jobs.lease_many(10) as items:
        assert_type(items, list[str])
    with jobs.producing() as out:
        assert_type(out, Queue[str])
    for item in jobs:
        assert_type(item, str)
    lease: Lease[str] = jobs.lease()
    lease.release(delay=1)
    assert_type(jobs.qsize(), int)
    assert_type(jobs.statistics().depth, int | None)


def tell(topic: Topic[int]) -> None:
    topic.publish(1, key="a.b")
    topic.publish("x")  # wrong
    with topic.subscribe("a.*", when_slow="fail") as events:
        assert_type(events.get(), int)
        for event in events:
            assert_type(event, int)
    subscription: Subscription[int] = topic.subscribe(from_="oldest")
    print(subscription.lag)


async def wait(jobs: Queue[bytes]) -> None:
    await jobs.aput(b"x")
    assert_type(await jobs.aget(), bytes)
    async with jobs.alease() as item:
        assert_type(item, bytes)
    async for each in jobs:
        assert_type(each, bytes)


def all_satisfy() -> None:
    work(conveyor.Queue[str]())
    work(conveyor.JoinableQueue[str]())
    work(connect("sqlite:///jobs.db"))
    work(conveyor.Queue[int]())  # wrong
    tell(conveyor.Topic[int]())
    tell(connect("memory://news", kind="topic"))
    tell(conveyor.Topic[str]())  # wrong


def connected() -> None:
    jobs: Queue[str] = connect("sqlite:///jobs.db", maxsize=10, dead_letters=conveyor.Queue())
    work(jobs)
    local: conveyor.Queue[str] = connect("shm://jobs")
    work(local)
    news: Topic[Any] = connect("memory://news", kind="topic", keep=10)
    tell(news)
    connect("shm://jobs", maxsize="ten")  # wrong
    connect("memory://news", kind="topic", lease_seconds=3)  # wrong
