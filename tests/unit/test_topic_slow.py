"""Topics within one process: slow subscribers, handles, names and figures."""

from __future__ import annotations

import copy
import os
import pickle
import queue as standard
import threading
from typing import Any

import numpy as np
import pytest

import conveyor
from conveyor import Lagged, Topic
from conveyor.errors import WrongKind

KIB, MIB = 2**10, 2**20


class TestSlow:
    EVENT = b"x" * 1000

    def test_blocking_is_the_default(self) -> None:
        topic: Topic[bytes] = Topic(max_bytes=64 * KIB)
        slow = topic.subscribe()
        with pytest.raises(standard.Full) as raised:
            topic.publish_many([self.EVENT] * 1000, timeout=0)
        published: int = raised.value.events_published  # type: ignore[attr-defined]
        assert 50 < published < 64
        with pytest.raises(standard.Full):
            topic.publish(self.EVENT, timeout=0.05)
        assert slow.lag == published
        assert len(slow.get_many(1000)) == published
        topic.publish(self.EVENT, timeout=0)
        assert (slow.missed, slow.lag) == (0, 1)

    def test_a_publisher_waits_until_there_is_room(self) -> None:
        topic: Topic[Any] = Topic(max_bytes=64 * KIB)
        slow = topic.subscribe()
        publisher = threading.Thread(target=lambda: topic.publish_many([(n, self.EVENT) for n in range(500)]))
        publisher.start()
        assert [slow.get(timeout=10)[0] for _ in range(500)] == list(range(500))
        publisher.join(5)
        assert not publisher.is_alive()

    def test_drop_oldest_loses_them_and_says_how_many(self) -> None:
        topic: Topic[int] = Topic(max_bytes=64 * KIB)
        slow = topic.subscribe(when_slow="drop_oldest")
        topic.publish_many(range(5000), timeout=0)
        got = slow.get_many(10_000)
        assert got[-1] == 4999
        assert got == list(range(got[0], 5000))
        assert slow.missed == got[0] > 3000
        (seen,) = topic.statistics().subscribers
        assert (seen.missed, seen.when_slow, seen.lag, seen.received) == (got[0], "drop_oldest", 0, len(got))

    def test_fail_raises_lagged_and_stays_so(self) -> None:
        topic: Topic[int] = Topic(max_bytes=64 * KIB)
        slow = topic.subscribe(when_slow="fail")
        topic.publish_many(range(10))
        assert slow.get() == 0
        topic.publish_many(range(5000), timeout=0)
        with pytest.raises(Lagged, match="events were overwritten") as raised:
            slow.get()
        assert raised.value.missed == slow.missed > 3000
        with pytest.raises(Lagged):
            list(slow)
        assert pickle.loads(pickle.dumps(raised.value)).missed == raised.value.missed

    def test_a_number_that_is_gone_counts_as_missed(self) -> None:
        topic: Topic[int] = Topic(max_bytes=64 * KIB)
        topic.publish_many(range(5000))
        late = topic.subscribe(from_=100)
        first = late.get()
        assert late.missed == first - 100
        with pytest.raises(Lagged):
            topic.subscribe(from_=100, when_slow="fail").get()

    def test_views_of_one_that_drops_stay_as_they_are(self) -> None:
        topic: Topic[Any] = Topic(max_bytes=MIB)
        slow = topic.subscribe(when_slow="drop_oldest")
        kept = []
        for number in range(200):
            topic.publish(np.full(8_000, number), timeout=0)
            if number % 3 == 0:
                array = slow.get()
                kept.append((array[0], array))
        assert all((array == number).all() for number, array in kept)
        assert slow.missed > 0


class TestHandles:
    def test_a_topic_travels_and_a_subscription_does_not(self) -> None:
        topic: Topic[int] = Topic()
        other = pickle.loads(pickle.dumps(topic))
        subscription = other.subscribe()
        topic.publish(1)
        assert subscription.get() == 1
        for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match="belongs to the process that made it"):
                attempt(subscription)

    def test_named(self, name: str) -> None:
        topic: Topic[int] = Topic(name, max_bytes=MIB, keep=2)
        topic.publish_many([1, 2, 3])
        del topic
        again = conveyor.connect(f"shm://{name}?kind=topic")
        assert type(again) is Topic
        assert again.statistics().max_bytes == MIB
        assert again.subscribe(from_="oldest").get_many() == [2, 3]
        assert type(conveyor.connect(f"shm://{name}", kind="topic", create=False)) is Topic
        pickle.loads(pickle.dumps(again)).publish(4)
        with pytest.raises(FileExistsError):
            conveyor.connect(f"shm://{name}?kind=topic", create=True)
        conveyor.remove(f"shm://{name}?kind=topic")
        with pytest.raises(FileNotFoundError):
            conveyor.connect(f"shm://{name}?kind=topic", create=False)

    def test_a_queue_is_no_topic_and_the_reverse(self, name: str) -> None:
        conveyor.connect(f"shm://{name}")
        with pytest.raises(WrongKind, match="queue"):
            Topic(name)
        conveyor.remove(f"shm://{name}")
        Topic(name)
        with pytest.raises(WrongKind, match="topic"):
            conveyor.connect(f"shm://{name}")

    def test_arguments_are_checked(self, name: str) -> None:
        make: Any = Topic
        with pytest.raises(ValueError, match="max_bytes is 0"):
            make(max_bytes=0)
        with pytest.raises(TypeError, match="max_bytes is 'much'"):
            make(max_bytes="much")
        with pytest.raises(ValueError, match="keep is -1"):
            make(keep=-1)
        with pytest.raises(ValueError, match="topic name is 'a/b'"):
            make("a/b")
        topic: Any = make()
        with pytest.raises(ValueError, match="when_slow is 'wait'"):
            topic.subscribe(when_slow="wait")
        with pytest.raises(ValueError, match="from_ is 'now'"):
            topic.subscribe(from_="now")
        with pytest.raises(TypeError, match="filter is 3"):
            topic.subscribe(filter=3)
        connect: Any = conveyor.connect
        for url, options in (
            (f"shm://{name}?kind=topic", {"maxsize": 3}),
            (f"shm://{name}", {"keep": 3}),
            (f"shm://{name}?kind=pipe", {}),
            (f"shm://{name}?kind=topic", {"kind": "queue"}),
        ):
            with pytest.raises(ValueError, match=r"topic|kind"):
                connect(url, **options)

    def test_statistics(self) -> None:
        topic: Topic[bytes] = Topic(max_bytes=MIB)
        subscription = topic.subscribe()
        topic.publish_many([b"x" * 100] * 3)
        subscription.get()
        seen = topic.statistics()
        assert (seen.published, seen.bytes_published, seen.max_bytes, seen.bytes_kept) == (
            3,
            300,
            MIB,
            3 * 192,
        )
        (one,) = seen.subscribers
        assert (one.pid, one.alive, one.when_slow, one.seq, one.lag, one.received) == (
            os.getpid(),
            True,
            "block",
            1,
            2,
            1,
        )
