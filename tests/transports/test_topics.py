"""What every topic does, whatever its transport."""

from __future__ import annotations

import asyncio
import pickle
import queue as standard
import threading
import time
from typing import Any

import pytest

import conveyor
from conveyor import Lagged, ShutDown, protocols

KEYS = ["", "a", "a.b", "a..b", "a.", ".a", "a.b.c", "A", "b.a"]
PATTERNS = {
    "#": {*KEYS, None},
    "*": {"a", "A"},
    "a": {"a"},
    "a.*": {"a.b", "a."},
    "a.#": {"a", "a.b", "a..b", "a.", "a.b.c"},
    "#.b": {"a.b", "a..b"},
    "*.b": {"a.b"},
    "a.*.b": {"a..b"},
    "a.#.c": {"a.b.c"},
    "#.a.#": {"a", "a.b", "a..b", "a.", ".a", "a.b.c", "b.a"},
}


def rest(subscription: Any) -> list[Any]:
    """All that comes until nothing has for a while."""
    got: list[Any] = []
    while True:
        try:
            got.append(subscription.get(timeout=0.5))
        except standard.Empty:
            return got


class TestPublishing:
    def test_each_subscriber_gets_each_event(self, make_topic: Any) -> None:
        topic, other = make_topic(), make_topic()
        with topic.subscribe() as first, other.subscribe() as second:
            topic.publish({"a": (1, b"x")})
            other.publish_many(range(5))
            for subscription in (first, second):
                assert subscription.get(timeout=10) == {"a": (1, b"x")}
                got: list[int] = []
                while len(got) < 5:
                    got += subscription.get_many(3, timeout=10)
                assert got == list(range(5))

    def test_who_comes_later_gets_what_comes_later(self, make_topic: Any) -> None:
        topic = make_topic()
        topic.publish("before")
        with topic.subscribe() as late:
            topic.publish("after")
            assert late.get(timeout=10) == "after"

    @pytest.mark.parametrize("pattern", PATTERNS)
    def test_keys(self, make_topic: Any, pattern: str) -> None:
        topic = make_topic()
        with topic.subscribe(pattern) as subscription:
            for key in (*KEYS, None):
                topic.publish(key, key=key)
            topic.shutdown()
            assert set(subscription) == PATTERNS[pattern]

    def test_several_patterns_and_a_filter(self, make_topic: Any) -> None:
        topic = make_topic()
        with topic.subscribe(["a.*", "b"], filter=lambda event: event % 2) as subscription:
            for number, key in enumerate(["a.x", "a.y", "b", "b", "c", "c"]):
                topic.publish(number, key=key)
            topic.shutdown()
            assert list(subscription) == [1, 3]

    def test_wrong_arguments(self, make_topic: Any) -> None:
        topic = make_topic()
        for arguments in (
            {"keys": "a*"},
            {"keys": []},
            {"from_": "start"},
            {"from_": -1},
            {"when_slow": "wait"},
        ):
            with pytest.raises(ValueError, match=r"keys|from_|when_slow"):
                topic.subscribe(**arguments)
        with pytest.raises(TypeError, match="filter"):
            topic.subscribe(filter=3)
        for key in ("x" * 256, "a.*", "#"):
            with pytest.raises(ValueError, match="key"):
                topic.publish(1, key=key)
        with pytest.raises(TypeError, match="key"):
            topic.publish(1, key=3)

    def test_is_a_topic(self, make_topic: Any) -> None:
        topic = make_topic()
        assert isinstance(topic, protocols.Topic)
        other = pickle.loads(pickle.dumps(topic))
        with topic.subscribe() as subscription:
            other.publish(1)
            assert subscription.get(timeout=10) == 1
            with pytest.raises(TypeError):
                pickle.dumps(subscription)
        assert subscription.closed
        with pytest.raises(ValueError, match="closed"):
            subscription.get()

    def test_a_topic_is_no_queue(self, topic_url: str, make_topic: Any) -> None:
        make_topic()
        queue_url = topic_url.replace("?kind=topic", "").replace("&kind=topic", "")
        with pytest.raises((conveyor.WrongKind, FileNotFoundError)):
            conveyor.connect(queue_url, kind="queue", create=False)


class TestLog:
    @pytest.mark.needs("keeps_events")
    def test_from_the_oldest_and_from_a_number(self, make_topic: Any) -> None:
        topic = make_topic()
        with topic.subscribe() as first:
            topic.publish_many("abcde")
            for letter in "abc":
                assert first.get(timeout=10) == letter
            number = first.seq
        with topic.subscribe(from_="oldest") as oldest, topic.subscribe(from_=number) as later:
            assert rest(oldest) == list("abcde")
            assert rest(later) == list("de")
            assert oldest.missed == 0

    @pytest.mark.needs("keeps_events", "dense")
    def test_numbers(self, make_topic: Any) -> None:
        topic = make_topic()
        topic.publish_many("abc")
        with topic.subscribe(from_=1) as subscription:
            assert subscription.seq == 1
            assert subscription.get(timeout=10) == "b"
            assert subscription.seq == 2
            assert subscription.lag == 1

    def test_lag(self, make_topic: Any) -> None:
        topic = make_topic()
        with topic.subscribe() as subscription:
            topic.publish_many(range(5))
            subscription.get(timeout=10)
            assert subscription.lag == 4
            rest(subscription)
            assert subscription.lag == 0

    @pytest.mark.needs("blocks_publishers")
    def test_a_slow_one_holds_up_publishers(self, make_topic: Any) -> None:
        topic = make_topic(max_bytes=2**16)
        with topic.subscribe() as slow:
            with pytest.raises(standard.Full):
                for _ in range(100):
                    topic.publish(b"x" * 4000, timeout=0.2)
            published = 1 + slow.lag
            publisher = threading.Thread(target=topic.publish, args=(b"y" * 4000,))
            publisher.start()
            while len(slow.get(timeout=30)) and slow.lag:
                pass
            publisher.join(30)
            assert not publisher.is_alive()
            assert published > 5

    @pytest.mark.needs("drops_oldest")
    def test_or_loses_the_oldest(self, make_topic: Any) -> None:
        topic = make_topic(max_bytes=2**16)
        with topic.subscribe(when_slow="drop_oldest") as slow, topic.subscribe(when_slow="fail") as failing:
            for number in range(100):
                topic.publish((number, b"x" * 4000), timeout=30)
            got = [number for number, _ in rest(slow)]
            assert got == list(range(100 - len(got), 100))
            assert slow.missed == 100 - len(got) > 0
            for _ in range(2):
                with pytest.raises(Lagged) as lagged:
                    failing.get(timeout=10)
            assert lagged.value.missed > 0


class TestEnding:
    def test_shutdown(self, make_topic: Any) -> None:
        topic, other = make_topic(), make_topic()
        with topic.subscribe() as first, other.subscribe() as second:
            waiting: list[list[int]] = []
            reader = threading.Thread(target=lambda: waiting.append(list(second)))
            reader.start()
            topic.publish_many(range(3))
            topic.shutdown()
            assert topic.is_shutdown
            assert other.is_shutdown
            with pytest.raises(ShutDown):
                other.publish(1)
            assert list(first) == [0, 1, 2]
            for _ in range(2):
                with pytest.raises(ShutDown):
                    first.get()
            reader.join(30)
            assert waiting == [[0, 1, 2]]

    @pytest.mark.needs("keeps_events")
    def test_who_comes_after_the_end(self, make_topic: Any) -> None:
        topic = make_topic()
        topic.publish_many(range(3))
        topic.shutdown()
        with topic.subscribe(from_="oldest") as late, topic.subscribe() as latest:
            assert list(late) == [0, 1, 2]
            assert list(latest) == []

    def test_the_last_producer_ends_it(self, make_topic: Any) -> None:
        topic, other = make_topic(), make_topic()
        topic.expect_producers(2)
        with topic.subscribe() as subscription:
            with topic.producing() as out:
                out.publish(1)
            assert not topic.is_shutdown
            with other.producing():
                other.publish(2)
            assert list(subscription) == [1, 2]


class TestCoroutines:
    def test_publish_and_get(self, make_topic: Any) -> None:
        topic = make_topic()

        async def read(subscription: Any) -> list[int]:
            return [event async for event in subscription]

        async def main() -> None:
            with topic.subscribe() as first, topic.subscribe("a.#") as second:
                readers = [asyncio.create_task(read(one)) for one in (first, second)]
                await topic.apublish(0, key="a.b")
                await topic.apublish_many(range(1, 50))
                await topic.apublish(50, key="a")
                topic.shutdown()
                assert await asyncio.gather(*readers) == [list(range(51)), [0, 50]]
                with pytest.raises(ShutDown):
                    await topic.apublish(1)

        asyncio.run(main())

    def test_a_cancelled_one_has_received_nothing(self, make_topic: Any) -> None:
        topic = make_topic()

        async def main() -> None:
            with topic.subscribe() as subscription:
                start = time.monotonic()
                with pytest.raises(standard.Empty):
                    await subscription.aget(timeout=0.3)
                assert time.monotonic() - start >= 0.3
                for number in range(20):
                    getter = asyncio.create_task(subscription.aget())
                    await asyncio.sleep(0.001 * (number % 5))
                    await topic.apublish(number)
                    await asyncio.sleep(0.001 * (number % 3))
                    getter.cancel()
                    try:
                        assert await getter == number
                    except asyncio.CancelledError:
                        assert await subscription.aget(timeout=30) == number

        asyncio.run(main())
