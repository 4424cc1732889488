"""The events of a topic as a queue that a group shares, on every transport that has groups."""

from __future__ import annotations

import contextlib
import multiprocessing
import queue as standard
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import programs
import pytest

import conveyor
from conveyor import NotSupported, Pipeline, ShutDown
from conveyor.transports.url import with_options

pytestmark = pytest.mark.needs("groups")


@pytest.fixture
def topic(make_topic: Any) -> Any:
    return make_topic()


@pytest.fixture
def group(topic: Any) -> Iterator[Any]:
    """The group "bill" of the topic, as its first member has it."""
    made = topic.group("bill")
    yield made
    made.close()


def group_url(topic_url: str, name: str) -> str:
    return with_options(topic_url, kind="group", group=name)


def all_of(queue: Any) -> list[Any]:
    found: list[Any] = []
    with contextlib.suppress(ShutDown):
        while True:
            found += queue.get_many(1000, timeout=60)
    return found


def test_each_event_goes_to_one_member_and_to_every_group(topic: Any, group: Any) -> None:
    again, other = topic.group("bill"), topic.group("audit")
    watching = topic.subscribe()
    topic.publish("early", key="a.b")
    topic.publish_many(range(99))
    topic.shutdown()
    found: list[Any] = []
    members = [threading.Thread(target=lambda who=who: found.extend(all_of(who))) for who in (group, again)]
    for member in members:
        member.start()
    for member in members:
        member.join(60)
    assert sorted(found, key=str) == sorted(["early", *range(99)], key=str)
    assert all_of(other) == ["early", *range(99)]
    assert list(watching) == ["early", *range(99)]
    watching.close()
    again.close()
    other.close()


def test_it_keeps_events_while_nobody_is_there(topic: Any, topic_url: str) -> None:
    topic.group("bill").close()
    topic.publish_many(range(10))
    later = topic.group("bill")
    assert [later.get(timeout=30) for _ in range(10)] == list(range(10))
    later.close()


def test_events_of_before_its_first_member_are_not_its(topic: Any) -> None:
    topic.publish_many(range(5))
    late = topic.group("late")
    topic.publish("now")
    assert late.get(timeout=30) == "now"
    with pytest.raises(standard.Empty):
        late.get(timeout=0.1)
    late.close()


def test_leases(topic: Any, group: Any) -> None:
    topic.publish_many(["a", "b"])
    first = group.lease(timeout=30)
    assert first.item == "a"
    first.release()
    found = sorted(group.get(timeout=30) for _ in range(2))
    assert found == ["a", "b"]


def test_attempts_are_counted_by_the_groups_own_bound(topic: Any) -> None:
    letters: Any = conveyor.Queue()
    group = topic.group("strict", max_attempts=2, dead_letters=letters)
    topic.publish("bad")
    for _ in range(2):
        group.lease(timeout=30).release()
    assert letters.get(timeout=30).item == "bad"
    topic.shutdown()
    with pytest.raises(ShutDown):
        group.get(timeout=30)
    group.close()


def test_by_url(topic: Any, topic_url: str) -> None:
    member = conveyor.connect(group_url(topic_url, "by url"))
    topic.publish({"n": 1})
    assert member.get(timeout=30) == {"n": 1}
    member.close()


def test_what_it_cannot(group: Any) -> None:
    with pytest.raises(NotSupported, match="publish them there"):
        group.put(1)
    with pytest.raises(NotSupported, match="publish them there"):
        group.put_many([1])
    with pytest.raises(NotSupported, match="ends with its topic"):
        group.shutdown()


def test_no_name(topic: Any) -> None:
    with pytest.raises(ValueError, match="must be the name of a group"):
        topic.group("")


def test_its_name_and_its_kind_go_together(topic_url: str, running: Any) -> None:
    for call in (conveyor.connect, conveyor.remove):
        with pytest.raises(ValueError, match="go together"):
            call(with_options(topic_url, kind="group"))
        if running.scheme != "kafka":  # where a queue has a group
            with pytest.raises(ValueError, match="go together"):
                call(with_options(topic_url, kind="queue", group="bill"))


def test_a_pipeline_of_a_group(topic: Any, group: Any) -> None:
    topic.publish_many(range(500))
    topic.shutdown()
    results: list[int] = []
    report = Pipeline(group).map(programs.square, workers=2).to(results).run()
    assert sorted(results) == [number * number for number in range(500)]
    assert report.taken == 500


@pytest.mark.needs("processes")
def test_what_a_dead_member_had_comes_back(topic: Any, topic_url: str, transport: Any) -> None:
    group = topic.group("bill")
    topic.publish_many(range(20))
    told: Any = conveyor.Queue()
    process = multiprocessing.get_context("spawn").Process(
        target=programs.lease_and_wait, args=(group, 5, told)
    )
    process.start()
    assert told.get(timeout=60) == [0, 1, 2, 3, 4]
    process.kill()
    process.join()
    topic.shutdown()
    assert sorted(all_of(group)) == list(range(20))
    group.close()


def test_a_slow_group_loses_nothing(make_topic: Any, transport: Any) -> None:
    """Where the topic's own room is the group's, publishers wait for it."""
    topic = make_topic(**({"max_bytes": 2**17} if transport.blocks_publishers else {}))
    group = topic.group("slow")
    published = 0
    with contextlib.suppress(standard.Full):
        for number in range(400):
            topic.publish((number, b"x" * 1000), timeout=1)
            published += 1
    found: list[int] = []
    while len(found) < published:
        found += [number for number, _ in group.get_many(100, timeout=30)]
    assert found == list(range(published))
    topic.publish((published, b""), timeout=30)
    assert group.get(timeout=30)[0] == published
    group.close()


def test_removed(topic: Any, topic_url: str) -> None:
    group = topic.group("gone")
    topic.publish(1)
    assert group.get(timeout=30) == 1
    group.close()
    url = group_url(topic_url, "gone")
    conveyor.remove(url)
    with pytest.raises(FileNotFoundError):
        conveyor.remove(url)
    with contextlib.closing(topic.group("gone")) as fresh:
        assert fresh.qsize() == 0


def set_one_aside(group: Any) -> None:
    """Have its next event fail for good, and stay with the broker."""
    group.lease(timeout=30).reject("bad")
    assert group.statistics().dead == 1


def test_nothing_of_a_group_outlasts_its_topic(make_topic: Any, topic_url: str) -> None:
    topic = make_topic()
    group = topic.group("bill")
    topic.publish_many(["bad", "waits"])
    set_one_aside(group)
    group.close()
    topic.close()
    conveyor.remove(topic_url)
    with contextlib.closing(make_topic().group("bill")) as fresh:
        assert fresh.qsize() == 0
        assert not fresh.statistics().dead


def test_the_url_of_a_topic_need_not_say_so_to_remove_it(url: str) -> None:
    topic = conveyor.connect(url, kind="topic")
    topic.group("bill").close()
    topic.publish("waits")
    topic.close()
    conveyor.remove(url)
    for kind in ("topic", "queue"):
        with pytest.raises(FileNotFoundError):
            conveyor.remove(with_options(url, kind=kind))
    topic = conveyor.connect(url, kind="topic")
    with contextlib.closing(topic.group("bill")) as fresh:
        assert fresh.qsize() == 0
    topic.close()


def test_a_group_may_have_several_topics_of_which_one_leaves_it(
    topic: Any, topic_url: str, transport: Any, tmp_path: Path
) -> None:
    with transport.fresh(tmp_path / "other", "topic") as other_url:
        other = conveyor.connect(other_url, kind="topic")
        for each in (topic, other):
            each.group("bill").close()
            each.publish("waits")
        conveyor.remove(group_url(topic_url, "bill"))
        with pytest.raises(FileNotFoundError):
            conveyor.remove(group_url(topic_url, "bill"))
        with contextlib.closing(other.group("bill")) as stays:
            assert stays.get(timeout=30) == "waits"
        other.close()


LONGEST = "ü" * 100  # in bytes


def test_a_name_may_be_long(topic: Any, topic_url: str) -> None:
    with contextlib.closing(topic.group(LONGEST)) as group, contextlib.closing(topic.group("ü")) as short:
        topic.publish_many([1, 2])
        set_one_aside(group)
        assert group.get(timeout=30) == 2
        assert short.get(timeout=30) == 1
    conveyor.remove(group_url(topic_url, LONGEST))
    with contextlib.closing(topic.group(LONGEST)) as fresh:
        assert not fresh.statistics().dead


@pytest.mark.parametrize("name", [LONGEST + "x", "a\nb", "x" * 100_000])
def test_a_name_that_cannot_be(topic: Any, topic_url: str, name: str) -> None:
    with pytest.raises(ValueError, match="name of a group, with 1 to 200 bytes, all printable"):
        topic.group(name)
    for call in (conveyor.connect, conveyor.remove):
        with pytest.raises(ValueError, match="group must have 1 to 200 bytes, all printable"):
            call(group_url(topic_url, name))
