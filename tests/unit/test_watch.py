"""Watch: looks again and again, with rates, and forgets what is gone."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable

import conveyor
from conveyor.inspection import Snapshot, Watch

GUARD = 60.0


def until(watch: Watch, true: Callable[[Snapshot], bool]) -> Snapshot:
    """Look until it is so."""
    end = time.monotonic() + GUARD
    while not true(snapshot := watch.look()):
        assert time.monotonic() < end, snapshot.as_dict()
    return snapshot


def id_of(snapshot: Snapshot, label: str) -> str:
    [segment] = snapshot.survey.find(label)
    return segment.id


def test_rates_come_with_the_second_look() -> None:
    label = f"rates-{os.getpid()}"
    queue: conveyor.Queue[int] = conveyor.Queue(label=label)
    watch = Watch()
    first = watch.look()
    queue.put_many(range(10))
    queue.get()
    second = watch.look()
    rates = second.rates[id_of(second, label)]
    assert first.seconds == 0
    assert first.rates[id_of(first, label)].in_rate == 0
    assert rates.in_rate * second.seconds == 10
    assert abs(rates.out_rate * second.seconds - 1) < 1e-6
    assert rates.oldest_age is not None
    assert not rates.at_least


def test_what_stood_before_the_first_look_is_older_than_known() -> None:
    label = f"older-{os.getpid()}"
    queue: conveyor.Queue[int] = conveyor.Queue(label=label)
    queue.put(1)
    watch = Watch()
    watch.look()
    second = watch.look()
    assert second.rates[id_of(second, label)].at_least


def test_a_topic_is_as_late_as_its_slowest_subscriber() -> None:
    label = f"late-{os.getpid()}"
    topic: conveyor.Topic[int] = conveyor.Topic(label=label)
    with topic.subscribe() as fast, topic.subscribe() as slow:
        watch = Watch()
        watch.look()
        for number in range(4):
            topic.publish(number)
            fast.get()
        slow.get()
        seen = watch.look()
        [view] = seen.survey.find(label)
        assert sorted(each["lag"] for each in view.figures["subscribers"]) == [0, 3]
        rates = seen.rates[view.id]
        assert abs(rates.in_rate * seen.seconds - 4) < 1e-6
        assert abs(rates.out_rate * seen.seconds - 1) < 1e-6
        assert rates.oldest_age is not None


def test_what_is_gone_is_forgotten() -> None:
    label = f"gone-{os.getpid()}"
    queue: conveyor.Queue[int] = conveyor.Queue(label=label)
    watch = Watch()
    id_ = id_of(watch.look(), label)
    assert watch.history(id_) is not None
    del queue
    until(watch, lambda snapshot: not snapshot.survey.find(label))
    assert watch.history(id_) is None


def test_the_share_of_a_processor_is_measured() -> None:
    label = f"busy-{os.getpid()}"
    queue: conveyor.Queue[int] = conveyor.Queue(label=label)
    watch = Watch()
    first = watch.look()
    assert os.getpid() not in first.cpu
    until(watch, lambda snapshot: snapshot.cpu.get(os.getpid(), 0.0) > 0)
    queue.close()


def test_a_snapshot_is_plain_json() -> None:
    label = f"plain-{os.getpid()}"
    queue: conveyor.Queue[int] = conveyor.Queue(label=label)
    topic: conveyor.Topic[int] = conveyor.Topic(label=f"{label}-topic")
    shared: conveyor.SharedDict[str, int] = conveyor.SharedDict({"a": 1}, label=f"{label}-dict")
    queue.put(1)
    found = json.loads(json.dumps(Watch().look().as_dict()))
    [seen] = [each for each in found["queues"] if each["label"] == label]
    assert seen["figures"]["depth"] == 1
    assert seen["figures"]["producer_pids"] == [os.getpid()]
    assert seen["rates"]["in_rate"] == 0
    assert [each["kind"] for each in found["topics"] if each["title"] == f"{label}-topic"] == ["topic"]
    assert [each["kind"] for each in found["others"] if each["title"] == f"{label}-dict"] == ["dict"]
    assert os.getpid() in [each["pid"] for each in found["processes"]]
    del topic
    del shared
