"""Topics within one process: what is published, to whom it goes, and how it ends."""

from __future__ import annotations

import gc
import pickle
import queue as standard
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from conveyor import ShutDown, Topic
from conveyor.errors import ItemTooLarge

KIB, MIB = 2**10, 2**20


class TestEvents:
    EVENTS = (None, 1, -(2**70), "text", b"bytes", ("item", 1, 2.5), {"a": [1, {2}]}, b"x" * 100_000, 3 + 4j)

    def test_everybody_gets_every_event_in_one_order(self) -> None:
        topic: Topic[Any] = Topic()
        subscriptions = [topic.subscribe() for _ in range(3)]
        for event in self.EVENTS:
            topic.publish(event)
        topic.publish_many(self.EVENTS)
        topic.shutdown()
        for subscription in subscriptions:
            got = list(subscription)
            assert got == [*self.EVENTS, *self.EVENTS]
            assert [type(event) for event in got[:9]] == [type(event) for event in self.EVENTS]

    def test_only_what_comes_after_the_start(self) -> None:
        topic: Topic[int] = Topic()
        topic.publish(1)
        with topic.subscribe() as late:
            topic.publish(2)
            assert late.get() == 2
            with pytest.raises(standard.Empty):
                late.get_nowait()
            with pytest.raises(standard.Empty):
                late.get(timeout=0.01)

    def test_from_the_oldest_and_from_a_number(self) -> None:
        topic: Topic[int] = Topic()
        topic.publish_many(range(10))
        with topic.subscribe(from_="oldest") as all_:
            assert all_.get_many(4) == [0, 1, 2, 3]
            assert all_.seq == 4
        with topic.subscribe(from_=all_seq(topic, 4)) as rest:
            assert rest.get_many(100) == [4, 5, 6, 7, 8, 9]
        with topic.subscribe(from_=10) as none:
            with pytest.raises(standard.Empty):
                none.get_nowait()
            topic.publish(10)
            assert none.get() == 10
        with pytest.raises(ValueError, match="from_ is 12; so far there are 11 events"):
            topic.subscribe(from_=12)

    @pytest.mark.parametrize("keep", [0, 1, 3, None])
    def test_keep_says_how_many_late_subscribers_get(self, keep: int | None) -> None:
        topic: Topic[int] = Topic(keep=keep)
        topic.publish_many(range(7))
        topic.shutdown()
        assert list(topic.subscribe(from_="oldest")) == list(range(7))[7 - (7 if keep is None else keep) :]

    def test_what_somebody_has_not_read_is_kept_besides(self) -> None:
        topic: Topic[int] = Topic(keep=1)
        topic.publish_many(range(3))
        slow = topic.subscribe()
        topic.publish_many(range(3, 7))
        assert slow.get() == 3
        assert topic.subscribe(from_="oldest").get_many() == [4, 5, 6]

    def test_a_large_array_is_a_read_only_view_of_one_copy(self) -> None:
        topic: Topic[Any] = Topic()
        first, second = topic.subscribe(), topic.subscribe()
        held = topic.statistics().memory_held
        topic.publish({"a": np.arange(MIB), "b": np.ones((300, 400), order="F")})
        one, two = first.get(), second.get()
        assert one["a"].sum() == two["a"].sum() == MIB * (MIB - 1) // 2
        assert one["b"].flags.f_contiguous
        assert two["b"].sum() == 120_000
        assert one["a"].ctypes.data == two["a"].ctypes.data
        assert one["a"].ctypes.data % 64 == 0
        with pytest.raises(ValueError, match="read-only"):
            one["a"][0] = 1
        assert topic.statistics().memory_pinned >= 2 * 8 * MIB
        assert topic.statistics().memory_held - held < 9 * MIB + 512 * KIB
        del one, two
        assert topic.statistics().memory_pinned == 0

    def test_bytes_that_are_seen_stay_when_the_log_goes_on_and_everything_is_closed(self) -> None:
        topic: Topic[Any] = Topic(max_bytes=MIB)
        subscription = topic.subscribe()
        topic.publish(np.full(20_000, 7))
        kept = subscription.get()
        for number in range(100):
            topic.publish(np.full(10_000, number), timeout=5)
            assert (subscription.get(timeout=5) == number).all()
        assert (kept == 7).all()
        assert topic._check() == ""
        subscription.close()
        del subscription, topic
        gc.collect()
        assert (kept == 7).all()

    def test_hoarded_arrays_never_stop_the_log(self) -> None:
        topic: Topic[Any] = Topic(max_bytes=MIB)
        subscription = topic.subscribe()
        kept = []
        for number in range(60):
            topic.publish(np.full(9_000, number), timeout=5)
            kept.append(subscription.get(timeout=5))
        assert all((array == number).all() for number, array in enumerate(kept))
        topic.publish(b"x" * (128 * KIB - 200), timeout=5)  # an eighth of the log finds its place
        assert len(subscription.get()) == 128 * KIB - 200
        assert topic.statistics().memory_pinned < MIB

    def test_what_cannot_fit_or_be_pickled_stays_with_the_caller(self) -> None:
        topic: Topic[Any] = Topic(max_bytes=MIB)
        subscription = topic.subscribe()
        with pytest.raises(ItemTooLarge, match=r"takes 300000 bytes .* a quarter of max_bytes"):
            topic.publish(b"x" * 300_000)
        with pytest.raises((AttributeError, pickle.PicklingError, TypeError)):
            topic.publish(lambda: 0)
        with pytest.raises(ItemTooLarge) as raised:
            topic.publish_many([1, 2, b"x" * 300_000, 3])
        assert raised.value.events_published == 2  # type: ignore[attr-defined]
        assert subscription.get_many() == [1, 2]

    def test_what_the_iterable_raises_comes_after_what_it_gave(self) -> None:
        def events() -> Iterator[int]:
            yield from range(300)
            raise KeyError("no more")

        topic: Topic[int] = Topic()
        subscription = topic.subscribe()
        with pytest.raises(KeyError) as raised:
            topic.publish_many(events())
        assert raised.value.events_published == 300  # type: ignore[attr-defined]
        assert subscription.get_many(1000) == list(range(300))

    def test_an_event_that_cannot_be_unpickled_loses_no_other(self) -> None:
        topic: Topic[Any] = Topic()
        subscription = topic.subscribe()
        topic.publish_many([1, Unreadable(), 2])
        assert subscription.get_many() == [1]
        with pytest.raises(ZeroDivisionError):
            subscription.get_many()
        assert subscription.get() == 2


def all_seq(topic: Topic[int], number: int) -> int:
    """`number`, as a subscription of the topic gives it."""
    with topic.subscribe(from_=number) as there:
        return there.seq


class Unreadable:
    def __reduce__(self) -> Any:
        return divmod, (1, 0)


class TestKeys:
    CASES = (
        ("prices.eur", "prices.eur", True),
        ("prices.eur", "prices.eur.spot", False),
        ("prices.eur", "prices", False),
        ("prices.*", "prices.eur", True),
        ("prices.*", "prices", False),
        ("prices.*", "prices.eur.spot", False),
        ("*.eur", "prices.eur", True),
        ("*", "a", True),
        ("*", "a.b", False),
        ("#", "a.b.c", True),
        ("#", None, True),
        ("*", None, False),
        ("prices.#", "prices", True),
        ("prices.#", "prices.eur.spot", True),
        ("prices.#", "price.eur", False),
        ("#.spot", "prices.eur.spot", True),
        ("#.spot", "spot", True),
        ("a.#.b.#.c", "a.b.c", True),
        ("a.#.b.#.c", "a.x.b.y.z.c", True),
        ("a.#.b.#.c", "a.x.c.b", False),
        ("#.*", "a.b", True),
        ("#.*.#", None, False),
        ("#.#", "a", True),
        ("a..b", "a..b", True),
        ("a.*.b", "a..b", True),
        ("ä.*", "ä.ö", True),
    )

    @pytest.mark.parametrize(("pattern", "key", "fits"), CASES)
    def test_fit_a_pattern(self, pattern: str, key: str | None, fits: bool) -> None:
        topic: Topic[int] = Topic()
        topic.publish(1, key)
        topic.shutdown()
        assert list(topic.subscribe(pattern, from_="oldest")) == [1] * fits

    def test_many_words_take_no_long(self) -> None:
        topic: Topic[int] = Topic()
        topic.publish(1, ".".join("a" * 127))
        topic.shutdown()
        assert list(topic.subscribe(".".join(["#.a"] * 30) + ".b", from_="oldest")) == []

    def test_several_patterns(self) -> None:
        topic: Topic[int] = Topic()
        chosen = topic.subscribe(["a.*", "b"])
        for number, key in enumerate(("a.x", "b", "c", "a.y.z", None, "a.z")):
            topic.publish(number, key)
        assert chosen.get_many() == [0, 1, 5]

    def test_others_are_not_even_decoded(self) -> None:
        topic: Topic[Any] = Topic()
        chosen = topic.subscribe("good")
        topic.publish(Unreadable(), "bad")
        topic.publish(1, "good")
        assert chosen.get() == 1
        assert (chosen.lag, chosen.missed, chosen.seq) == (0, 0, 2)

    def test_a_filter_looks_at_the_event(self) -> None:
        topic: Topic[int] = Topic()
        even = topic.subscribe(filter=lambda number: number % 2 == 0)
        topic.publish_many(range(7))
        assert even.get() == 0
        assert even.get_many() == [2, 4, 6]
        broken: Any = topic.subscribe(filter=lambda _: 1 // 0)
        topic.publish(1)
        with pytest.raises(ZeroDivisionError):
            broken.get(timeout=1)

    def test_are_checked(self) -> None:
        topic: Any = Topic()
        with pytest.raises(TypeError, match="key is 3; it must be a str"):
            topic.publish(1, key=3)
        with pytest.raises(ValueError, match="patterns of subscribe"):
            topic.publish(1, key="prices.*")
        with pytest.raises(ValueError, match="at most 255"):
            topic.publish(1, key="x" * 256)
        with pytest.raises(ValueError, match="stand for whole words"):
            topic.subscribe("price*")
        with pytest.raises(ValueError, match="no pattern"):
            topic.subscribe([])
        with pytest.raises(TypeError, match="must be a pattern"):
            topic.subscribe([1])
        topic.publish(1, key="x" * 255)


class TestEnd:
    def test_what_is_there_is_received_and_then_it_ends(self) -> None:
        topic: Topic[int] = Topic()
        subscription = topic.subscribe()
        topic.publish_many([1, 2])
        assert not topic.is_shutdown
        topic.shutdown()
        topic.shutdown()
        assert topic.is_shutdown
        with pytest.raises(ShutDown):
            topic.publish(3)
        assert [subscription.get(), *subscription] == [1, 2]
        with pytest.raises(ShutDown):
            subscription.get()
        assert list(subscription) == []
        assert list(topic.subscribe(from_="oldest")) == [1, 2]

    def test_wakes_who_waits(self) -> None:
        topic: Topic[int] = Topic(max_bytes=64 * KIB)
        got: list[Any] = []
        subscription = topic.subscribe()
        reader = threading.Thread(target=lambda: got.extend(subscription))
        reader.start()
        topic.shutdown()
        reader.join(5)
        assert not reader.is_alive()
        assert got == []

    def test_a_closed_subscription_says_so(self) -> None:
        topic: Topic[int] = Topic()
        with topic.subscribe() as subscription:
            assert not subscription.closed
        subscription.close()
        assert subscription.closed
        assert "closed" in repr(subscription)
        for call in (
            subscription.get,
            subscription.get_nowait,
            subscription.get_many,
            lambda: next(subscription),
        ):
            with pytest.raises(ValueError, match="the subscription is closed"):
                call()

    def test_dropped_it_holds_up_nobody(self) -> None:
        topic: Topic[bytes] = Topic(max_bytes=64 * KIB)
        cycle: list[Any] = []
        cycle.append(topic.subscribe(filter=cycle.append))
        gone = weakref.ref(cycle[0])
        del cycle
        gc.collect()
        assert gone() is None
        assert topic.statistics().subscribers == ()
        topic.publish_many([b"x" * 5000] * 50, timeout=0)
