"""Consumers are held back, wherever they are, while puts go on; in shared memory and on every broker alike."""

from __future__ import annotations

import asyncio
import queue as standard
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from transport import Transport

import conveyor
from conveyor import ShutDown


def _empty(take: Callable[[], Any]) -> None:
    with pytest.raises(standard.Empty):
        take()


def test_it_looks_empty_to_those_who_take(make: Callable[..., Any], transport: Transport) -> None:
    queue = make()
    queue.put(1)
    assert not queue.is_paused
    queue.pause()
    queue.pause()
    assert queue.is_paused
    queue.put(2)
    for take in (
        queue.get_nowait,
        lambda: queue.get(timeout=0.01),
        lambda: queue.get_many(10, timeout=0.01),
        lambda: queue.lease(timeout=0.01),
        lambda: queue.lease_many(10, timeout=0),
        lambda: asyncio.run(queue.aget(timeout=0.01)),
    ):
        _empty(take)
    assert queue.qsize() == 2
    if transport.peeks:
        assert queue.peek(9) == [1, 2]
    queue.resume()
    queue.resume()
    assert not queue.is_paused
    assert [queue.get(timeout=10), queue.get(timeout=10)] == [1, 2]


def test_others_come_to_know_of_it(make: Callable[..., Any], transport: Transport) -> None:
    mine, other = make(), make()
    mine.put_many(range(3))
    assert other.get(timeout=10) == 0  # it is at work, and has read ahead what it reads ahead
    mine.put(0)
    mine.pause()
    guard = time.monotonic() + 10 * transport.soon
    while True:  # there is always something to take
        try:
            item = other.get(timeout=0)
        except standard.Empty:
            break
        assert time.monotonic() < guard
        mine.put(item)
    assert other.is_paused
    got: list[Any] = []
    thread = threading.Thread(target=lambda: got.append(other.get(timeout=60)))
    thread.start()
    mine.resume()
    thread.join(30)
    assert len(got) == 1
    rest = [other.get(timeout=10) for _ in range(2)]
    assert sorted(got + rest) == [0, 1, 2]


def test_who_waits_goes_on_when_it_is_resumed(make: Callable[..., Any]) -> None:
    queue = make()
    queue.pause()
    queue.put_many([1, 2])

    async def main() -> list[Any]:
        tasks = [asyncio.ensure_future(queue.aget(timeout=30)) for _ in range(2)]
        await asyncio.sleep(0)
        done, _ = await asyncio.wait(tasks, timeout=0.05)
        assert not done
        await asyncio.to_thread(queue.resume)
        return list(await asyncio.gather(*tasks))

    assert sorted(asyncio.run(main())) == [1, 2]


def test_it_stays_paused_when_nobody_has_it(make: Callable[..., Any], transport: Transport, url: str) -> None:
    queue = make()
    queue.pause()
    queue.put(1)
    queue.close()
    again = make(create=False)
    assert again.is_paused
    _empty(again.get_nowait)
    again.resume()
    assert again.get(timeout=10) == 1


def test_what_is_under_lease_can_be_settled(make: Callable[..., Any]) -> None:
    queue = make()
    queue.put_many([1, 2])
    first, second = queue.lease(timeout=10), queue.lease(timeout=10)
    queue.pause()
    first.acknowledge()
    second.release()
    _empty(lambda: queue.get(timeout=0.01))
    queue.resume()
    assert queue.get(timeout=10) == 2


def test_purge_drops_what_is_held_back(make: Callable[..., Any]) -> None:
    queue = make()
    queue.put_many(range(5))
    queue.pause()
    assert queue.purge() == 5
    assert queue.is_paused
    queue.put("after")
    queue.resume()
    assert queue.get(timeout=10) == "after"


def test_it_ends_once_it_is_resumed_and_drained(make: Callable[..., Any]) -> None:
    queue = make()
    with queue.producing():
        queue.put(1)
        queue.pause()
    assert queue.is_shutdown
    _empty(lambda: queue.get(timeout=0.01))
    _empty(queue.get_nowait)
    queue.resume()
    assert list(queue) == [1]


def test_one_that_is_drained_ends_although_it_is_paused(make: Callable[..., Any]) -> None:
    queue = make()
    queue.pause()
    queue.shutdown()
    with pytest.raises(ShutDown):
        queue.get(timeout=30)
    with pytest.raises(ShutDown):
        queue.lease(timeout=30)


def test_an_immediate_shutdown_drops_what_is_held_back(make: Callable[..., Any]) -> None:
    queue = make()
    queue.put(1)
    queue.pause()
    queue.shutdown(immediate=True)
    with pytest.raises(ShutDown):
        queue.get(timeout=30)


@pytest.mark.needs("groups")
def test_a_group_is_paused_alone(make_topic: Callable[..., Any], topic_url: str) -> None:
    topic = make_topic()
    held, other = topic.group("held"), topic.group("other")
    held.pause()
    assert (held.is_paused, other.is_paused) == (True, False)
    topic.publish("a")
    assert other.get(timeout=10) == "a"
    _empty(lambda: held.get(timeout=0.01))
    held.resume()
    assert held.get(timeout=10) == "a"
    held.pause()
    held.close()
    conveyor.remove(f"{topic_url.replace('kind=topic', 'kind=group')}&group=held")
    again = topic.group("held")  # another one of that name
    assert not again.is_paused
    again.close()
    other.close()
