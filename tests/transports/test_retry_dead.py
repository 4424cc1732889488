"""What a broker has set aside, as it failed too often and there were no dead letters, goes back into its queue."""

from __future__ import annotations

import json
import queue as standard
from collections.abc import Callable
from typing import Any

import pytest
from transport import Transport

import conveyor
from conveyor import DeadLetter, NotSupported, ShutDown
from conveyor.cli.app import main


@pytest.fixture(autouse=True)
def _on_a_broker(transport: Transport) -> None:
    if transport.scheme == "shm":
        pytest.skip(
            "what a queue in shared memory has given up is in its dead_letters: see docs/transports.md"
        )


def given_up(queue: Any, items: list[Any], why: Callable[[Any], str] = str) -> None:
    """Have these set aside."""
    queue.put_many(items)
    for lease in queue.lease_many(len(items), timeout=10):
        lease.reject(why(lease.item))


def test_all_of_it_goes_back_and_is_counted_anew(make: Callable[..., Any]) -> None:
    queue, other = make(max_attempts=2), make()
    queue.put_many(["a", {"b": 2}])
    for attempt in range(2):
        lease = queue.lease(timeout=10)
        assert lease.attempts == attempt
        lease.release()  # to the front
    queue.lease(timeout=10).reject("no good")
    assert queue.qsize() == 0
    assert queue.statistics().dead == 2
    first, second = other.peek_dead(10)
    assert (first.item, first.attempts, first.error) == ("a", 2, "released")
    assert (second.item, second.attempts, second.error) == ({"b": 2}, 1, "no good")
    assert first.raw is None
    assert isinstance(first, DeadLetter)
    assert other.peek_dead() == [first]
    assert queue.statistics().dead == 2
    queue.put("waits")
    assert other.retry_dead() == 2
    found: list[Any] = []
    while len(found) < 3:
        for lease in queue.lease_many(3, timeout=10):
            found.append((lease.item, lease.attempts))
            lease.acknowledge()
    assert found == [("waits", 0), ("a", 0), ({"b": 2}, 0)]
    assert other.retry_dead() == 0
    assert queue.statistics().dead == 0
    assert queue.peek_dead(5) == []


def test_those_that_are_chosen(make: Callable[..., Any], transport: Transport) -> None:
    queue = make()
    given_up(queue, list(range(6)), lambda item: "late" if item % 2 else "wrong")
    if transport.scheme == "kafka":
        with pytest.raises(NotSupported, match="dead_letters="):
            queue.retry_dead(lambda letter: True)
    else:
        assert queue.retry_dead(lambda letter: letter.error == "late", max_items=2) == 2
        assert [queue.get(timeout=10) for _ in range(2)] == [1, 3]
        assert [letter.item for letter in queue.peek_dead(9)] == [0, 2, 4, 5]
    left = [letter.item for letter in queue.peek_dead(9)]
    assert queue.retry_dead(max_items=3) == 3
    assert [queue.get(timeout=10) for _ in range(3)] == left[:3]
    assert [letter.item for letter in queue.peek_dead(9)] == left[3:]


def test_more_than_one_portion(make: Callable[..., Any]) -> None:
    queue = make()
    items = list(range(230))
    queue.put_many(items)
    got = 0
    while got < len(items):
        for lease in queue.lease_many(100, timeout=10):
            lease.reject("all of them")
            got += 1
    assert [letter.item for letter in queue.peek_dead(1000)] == items
    assert queue.retry_dead() == 230
    back: list[Any] = []
    while len(back) < 230:
        back += queue.get_many(230, timeout=10)
    assert back == items
    assert queue.statistics().dead == 0


@pytest.mark.needs("exact_bounds")
def test_no_room_puts_back_what_fits(make: Callable[..., Any]) -> None:
    queue = make(maxsize=5)
    given_up(queue, list(range(5)))
    queue.put_many(["x", "y"])
    with pytest.raises(standard.Full) as full:
        queue.retry_dead(timeout=0.05)
    assert full.value.items_retried == 3  # type: ignore[attr-defined]
    assert [letter.item for letter in queue.peek_dead(9)] == [3, 4]
    assert [queue.get(timeout=10) for _ in range(5)] == ["x", "y", 0, 1, 2]


def test_after_the_end_it_stays(make: Callable[..., Any]) -> None:
    queue = make()
    given_up(queue, [1])
    queue.shutdown()
    with pytest.raises(ShutDown):
        queue.retry_dead()
    assert [letter.item for letter in queue.peek_dead(9)] == [1]
    for call in (lambda: queue.peek_dead(0), lambda: queue.retry_dead(max_items=0)):
        with pytest.raises(ValueError, match="max_items is 0"):
            call()
    queue.close()
    for call in (queue.peek_dead, queue.retry_dead):
        with pytest.raises(ValueError, match="is closed"):
            call()


def test_what_cannot_be_read_goes_back_as_it_is(make: Callable[..., Any], url: str) -> None:
    queue = make(codec="json")
    raw: Any = conveyor.connect(url, codec="raw")
    raw.put(b"{")
    raw.lease(timeout=10).reject("odd")
    [letter] = queue.peek_dead(9)
    assert (letter.raw, letter.error) == (b"{", "odd")
    assert queue.retry_dead() == 1
    assert raw.get(timeout=10) == b"{"
    raw.close()


@pytest.mark.needs("groups")
def test_of_a_group_it_is_shown(make_topic: Callable[..., Any]) -> None:
    topic = make_topic()
    group, other = topic.group("readers"), topic.group("others")
    topic.publish("a")
    group.lease(timeout=10).reject("no")
    assert [letter.item for letter in group.peek_dead(9)] == ["a"]
    assert other.peek_dead(9) == []
    with pytest.raises(NotSupported, match="publish them there"):
        group.retry_dead()
    assert [letter.item for letter in group.peek_dead(9)] == ["a"]
    group.close()
    other.close()


@pytest.mark.needs("processes")
def test_from_the_shell(
    make: Callable[..., Any], url: str, transport: Transport, capfd: pytest.CaptureFixture[str]
) -> None:
    queue = make()
    given_up(queue, ["red one", "green one", "red two"])
    assert main(["peek", "--dead", url]) == 0
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [(each["item"], each["attempts"]) for each in lines][:2] == [("red one", 1), ("green one", 1)]
    assert main(["retry", url]) == 5  # nobody is there to ask
    assert "retry" in capfd.readouterr().err
    assert main(["retry", "--dry-run", "--match", "red", url]) == 0
    assert "would retry 2 items" in capfd.readouterr().err
    if transport.scheme == "kafka":
        assert main(["retry", "-f", "--match", "red", url]) == 2
        assert "dead_letters=" in capfd.readouterr().err
        assert main(["retry", "-f", "-n", "1", url]) == 0
        left = 2
    else:
        assert main(["retry", "-f", "--json", "--match", "red", url]) == 0
        told = json.loads(capfd.readouterr().out)
        assert (told["retried"], told["kept"]) == (2, 1)
        left = 1
    assert queue.qsize() == 3 - left
    assert main(["retry", "-f", url]) == 0
    assert queue.qsize() == 3
    assert main(["retry", "-f", url]) == 0
    assert "nothing is set aside" in capfd.readouterr().err
    assert main(["peek", "--dead", url]) == 4
