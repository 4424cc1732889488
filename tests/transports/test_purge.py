"""What waits is dropped, and counted; what is leased is not."""

from __future__ import annotations

import queue as standard
import threading
from collections.abc import Callable
from typing import Any

import pytest
from transport import Transport


def test_what_waits_goes(make: Callable[..., Any]) -> None:
    queue = make()
    assert queue.purge() == 0
    queue.put_many(range(2500))
    assert queue.get(timeout=10) == 0
    assert queue.purge() == 2499
    assert queue.purge() == 0
    assert queue.qsize() == 0
    with pytest.raises(standard.Empty):
        queue.get(timeout=0)
    queue.put("after")
    assert queue.get(timeout=10) == "after"


def test_what_is_leased_stays(make: Callable[..., Any]) -> None:
    queue = make()
    queue.put_many(range(6))
    first, second, third = queue.lease_many(3, timeout=10)
    assert queue.purge() == 3
    second.acknowledge()
    first.release()
    third.release()
    again = [queue.lease(timeout=10) for _ in range(2)]
    assert sorted(lease.item for lease in again) == [0, 2]
    for lease in again:
        lease.acknowledge()
    with pytest.raises(standard.Empty):
        queue.get(timeout=0)


def test_what_came_back_goes(make: Callable[..., Any], transport: Transport) -> None:
    if not transport.counts_returned:
        pytest.skip(f"{transport.scheme}:// counts what came back as leased: see docs/transports.md")
    queue = make()
    queue.put_many(range(4))
    for lease in queue.lease_many(3, timeout=10):
        lease.release(delay=60 if transport.delays and lease.item == 1 else 0)
    assert queue.purge() == 4
    with pytest.raises(standard.Empty):
        queue.get(timeout=0)


@pytest.mark.needs("exact_bounds")
def test_who_waits_for_room_puts(make: Callable[..., Any]) -> None:
    queue = make(maxsize=2)
    queue.put_many([1, 2])
    thread = threading.Thread(target=queue.put, args=(3,))
    thread.start()
    assert queue.purge() in (2, 3)  # it may be in before all is counted
    thread.join(30)
    assert not thread.is_alive()
    assert queue.qsize() <= 1


def test_at_the_end_and_closed(make: Callable[..., Any]) -> None:
    queue = make()
    queue.put_many([1, 2])
    queue.shutdown()
    assert queue.purge() == 2
    queue.close()
    with pytest.raises(ValueError, match="is closed"):
        queue.purge()


@pytest.mark.needs("groups")
def test_what_a_group_has(make_topic: Callable[..., Any]) -> None:
    topic = make_topic()
    group, other = topic.group("readers"), topic.group("others")
    topic.publish_many(["a", "b", "c"])
    assert group.purge() == 3
    assert other.get(timeout=10) == "a"
    topic.publish("d")
    assert group.get(timeout=10) == "d"
    group.close()
    other.close()
