"""What waits is shown, and is as it was before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from transport import Transport

import conveyor
from conveyor import BadMessage


@pytest.fixture(autouse=True)
def _it_can(transport: Transport) -> None:
    if not transport.peeks:
        pytest.skip(f"{transport.scheme}:// shows nothing: see docs/transports.md")


def test_what_waits_stays(make: Callable[..., Any]) -> None:
    queue = make(max_attempts=2)
    assert queue.peek() == []
    items = [{"n": n} for n in range(250)]
    queue.put_many(items)
    assert queue.peek() == items[:1]
    for _ in range(3):
        assert queue.peek(120) == items[:120]
    assert queue.peek(1000) == items
    assert queue.qsize() == 250
    assert queue.get(timeout=10) == items[0]
    lease = queue.lease(timeout=10)
    assert (lease.item, lease.attempts) == (items[1], 0)
    assert queue.peek(2) == items[2:4]
    lease.acknowledge()
    got: list[Any] = []
    while len(got) < 248:
        got += queue.get_many(timeout=10)
    assert got == items[2:]
    assert queue.peek(10) == []


def test_a_second_handle_sees_the_same(make: Callable[..., Any]) -> None:
    first, second = make(), make()
    first.put_many([1, 2, 3])
    assert second.peek(5) == [1, 2, 3]
    assert first.get(timeout=10) == 1
    assert second.peek(5) == [2, 3]
    assert second.get(timeout=10) == 2
    assert first.peek(5) == [3]


def test_what_came_back_is_first(make: Callable[..., Any], transport: Transport) -> None:
    if not transport.counts_returned:
        pytest.skip(f"{transport.scheme}:// counts what came back as leased: see docs/transports.md")
    queue = make()
    queue.put_many(range(6))
    leases = list(queue.lease_many(3, timeout=10))
    leases[2].release()
    leases[0].release()
    assert queue.peek(9) == [0, 2, 3, 4, 5]
    assert queue.peek(2) == [0, 2]
    again = queue.lease(timeout=10)
    assert (again.item, again.attempts) == (0, 1)
    again.acknowledge()
    leases[1].acknowledge()


def test_large_items(make: Callable[..., Any]) -> None:
    queue = make()
    items = [b"a" * 300_000, "text" * 50_000, {"numbers": list(range(40_000))}]
    queue.put_many(items)
    assert queue.peek(3) == items
    assert [queue.get(timeout=10) for _ in items] == items


def test_at_the_end(make: Callable[..., Any]) -> None:
    queue = make()
    queue.put_many([1, 2])
    queue.shutdown()
    assert queue.peek(5) == [1, 2]
    queue.shutdown(immediate=True)
    assert queue.peek(5) == []


def test_wrong_arguments_and_a_closed_queue(make: Callable[..., Any]) -> None:
    queue = make()
    for bad in (0, -1):
        with pytest.raises(ValueError, match="max_items is"):
            queue.peek(bad)
    with pytest.raises(TypeError):
        queue.peek("1")
    queue.close()
    with pytest.raises(ValueError, match="is closed"):
        queue.peek()


def test_what_cannot_be_read_stays(make: Callable[..., Any], transport: Transport, url: str) -> None:
    if transport.scheme == "shm":
        pytest.skip("items of another codec are refused there: see tests/unit/test_queue_peek.py")
    queue = make(codec="json")
    raw: Any = conveyor.connect(url, codec="raw")
    queue.put(1)
    raw.put(b"{")
    queue.put(2)
    with pytest.raises(BadMessage) as error:
        queue.peek(9)
    assert error.value.items_received == [1, 2]  # type: ignore[attr-defined]
    assert queue.qsize() == 3
    raw.close()


@pytest.mark.needs("groups")
def test_what_a_group_has(transport: Transport, make_topic: Callable[..., Any], topic_url: str) -> None:
    topic = make_topic()
    group = topic.group("readers")
    topic.publish_many(["a", "b", "c"])
    assert group.peek(5) == ["a", "b", "c"]
    assert group.get(timeout=10) == "a"
    assert group.peek(5) == ["b", "c"]
    group.close()
