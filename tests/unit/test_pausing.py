"""A queue whose consumers are held back."""

from __future__ import annotations

import asyncio
import queue as standard
import select
import threading
import time
from typing import Any

import pytest

import conveyor
import conveyor.multiprocessing as multiprocessing
from conveyor.inspection import survey

every = pytest.mark.parametrize("kind", [conveyor.Queue, conveyor.JoinableQueue])


@every
def test_it_is_seen_from_outside(kind: Any) -> None:
    """What it is to those who use it: tests/transports/test_holding_back.py, for every transport."""
    queue = kind(label="held-back")
    queue.put(1)
    queue.pause()
    [view] = survey().find("held-back")
    assert view.paused
    with pytest.raises(standard.Empty):
        queue.get_nowait()
    assert (queue.qsize(), queue.empty()) == (1, False)
    queue.resume()
    [view] = survey().find("held-back")
    assert not view.paused
    assert queue.get() == 1


@every
def test_who_waits_wakes_when_it_is_resumed(kind: Any) -> None:
    queue = kind()
    queue.pause()
    queue.put_many(range(4))
    got: list[int] = []
    threads = [threading.Thread(target=lambda: got.append(queue.get())) for _ in range(4)]
    for thread in threads:
        thread.start()
    end = time.monotonic() + 30
    identity = queue._segment.identity
    while len(survey().find(f"{identity[0]:x}:{identity[1]:x}")[0].waiters) < 4:
        assert time.monotonic() < end
    assert got == []
    queue.resume()
    for thread in threads:
        thread.join()
    assert sorted(got) == [0, 1, 2, 3]


def test_coroutines_and_select_are_held_back_too() -> None:
    queue: Any = conveyor.Queue()
    queue.put(1)
    reader = queue._reader
    assert select.select([reader], [], [], 0)[0]
    queue.pause()
    assert not select.select([reader], [], [], 0)[0]
    with pytest.raises(standard.Empty):
        queue.get_nowait()

    async def main() -> None:
        task = asyncio.ensure_future(queue.aget())
        await asyncio.sleep(0)
        queue.put(2)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.shield(task), 0.05)
        queue.resume()
        assert await asyncio.wait_for(task, 30) == 1
        assert await queue.aget() == 2

    asyncio.run(main())


def test_it_ends_once_it_is_resumed_and_drained() -> None:
    queue = conveyor.Queue()
    with queue.producing():
        queue.put(1)
        queue.pause()
    with pytest.raises(standard.Empty):
        queue.get(timeout=0.01)
    queue.resume()
    assert list(queue) == [1]


def test_an_immediate_shutdown_drops_what_is_held_back() -> None:
    queue = conveyor.JoinableQueue()
    queue.put(1)
    queue.pause()
    queue.shutdown(immediate=True)
    with pytest.raises(conveyor.ShutDown):
        queue.get(timeout=30)
    queue.join()


def test_what_is_under_lease_can_be_settled_and_comes_back_when_it_is_resumed() -> None:
    queue = conveyor.Queue()
    queue.put_many([1, 2])
    first, second = queue.lease(), queue.lease()
    queue.pause()
    first.acknowledge()
    second.release()
    with pytest.raises(standard.Empty):
        queue.get(timeout=0.01)
    queue.resume()
    assert queue.get() == 2


def test_the_pause_of_a_process_that_has_gone_stays() -> None:
    context = multiprocessing.get_context("fork")
    queue = conveyor.Queue()
    process = context.Process(target=queue.pause)
    process.start()
    process.join()
    assert queue.is_paused
    queue.resume()
