"""What a type checker must know about topics: assert_type for what it infers, `# wrong` for what it must refuse.
Checked by mypy and pyright (test_typing.py); never run.
"""

from typing import Any, assert_type

from conveyor import Lagged, ProducerLost, SubscriberStatistics, Subscription, Topic, TopicStatistics, connect


def events_have_a_type() -> None:
    topic = Topic[int](max_bytes=2**20, keep=10)
    topic.publish(1)
    topic.publish(1, key="a.b", timeout=0.5)
    topic.publish_many([1, 2], "a.b")
    topic.publish("text")  # wrong
    topic.publish(1, key=3)  # wrong
    with topic.subscribe("a.*", from_="oldest", filter=lambda number: number > 1) as subscription:
        assert_type(subscription, Subscription[int])
        assert_type(subscription.get(timeout=1), int)
        assert_type(subscription.get_nowait(), int)
        assert_type(subscription.get_many(), list[int])
        for event in subscription:
            assert_type(event, int)
        assert_type(subscription.missed, int)
    topic.subscribe(["a", "b.#"], 17, when_slow="fail")
    topic.subscribe(when_slow="wait")  # wrong
    topic.subscribe(filter=3)  # wrong


def endings(topic: Topic[int]) -> int:
    topic.expect_producers(4)
    topic.expect_producers("four")  # wrong
    with topic.producing() as out:
        assert_type(out, Topic[int])
        out.publish(1)
        out.publish("text")  # wrong
    try:
        return topic.subscribe(from_="oldest").get()
    except ProducerLost as lost:
        return lost.items


async def coroutines(topic: Topic[bytes]) -> None:
    await topic.apublish(b"", key="a")
    await topic.apublish_many([b""])
    subscription = topic.subscribe()
    assert_type(await subscription.aget(), bytes)
    async for event in subscription:
        assert_type(event, bytes)


def figures(topic: Topic[int]) -> None:
    seen = topic.statistics()
    assert_type(seen, TopicStatistics)
    assert_type(seen.subscribers, tuple[SubscriberStatistics, ...])
    assert_type(topic.is_shutdown, bool)
    assert_type(Lagged(3).missed, int)


def named() -> None:
    assert_type(connect("shm://prices", kind="topic"), Topic[Any])
    connect("shm://prices", kind="topic", keep=3, max_bytes=2**20)
    connect("shm://prices", kind="topic", maxsize=3)  # wrong
    connect("shm://prices", kind="pipe")  # wrong
