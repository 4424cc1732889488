"""Coroutines of several processes on one queue."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import resource
import signal
from typing import Any

import pytest
from helpers import METHODS, crew, finish

import conveyor


def consume(queue: Any, results: Any) -> None:
    async def main() -> list[int]:
        async def take() -> list[int]:
            return [item async for item in queue]

        return [item for part in await asyncio.gather(*(take() for _ in range(5))) for item in part]

    results.put(asyncio.run(main()))


def produce(queue: Any, first: int, count: int) -> None:
    async def main() -> None:
        with queue.producing():
            for number in range(first, first + count):
                await queue.aput(number)

    asyncio.run(main())


@pytest.mark.parametrize("method", METHODS)
def test_many_to_many_without_sentinels(method: str) -> None:
    context = multiprocessing.get_context(method)
    queue: Any = conveyor.Queue(maxsize=10)
    results: Any = conveyor.Queue()
    queue.expect_producers(2)
    with crew() as members:
        for first in (0, 1000):
            members.append(context.Process(target=produce, args=(queue, first, 1000)))
        for _ in range(2):
            members.append(context.Process(target=consume, args=(queue, results)))
        for member in members:
            member.start()
        received = results.get(timeout=60) + results.get(timeout=60)
        for member in members:
            finish(member)
    assert sorted(received) == list(range(2000))


def die_producing(queue: Any) -> None:
    with queue.producing():
        queue.put(1)
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_lost_producer_is_told_to_coroutines() -> None:
    async def main() -> Any:
        queue: Any = conveyor.Queue()
        queue.expect_producers(1)
        with crew() as members:
            process = multiprocessing.get_context("fork").Process(target=die_producing, args=(queue,))
            members.append(process)
            process.start()
            assert await queue.aget() == 1
            with pytest.raises(conveyor.ProducerLost) as caught:
                await queue.aget(timeout=30)
            assert caught.value.pid == process.pid
            assert caught.value.items == 1

    asyncio.run(main())


def wait_for_ever(queue: Any, ready: Any) -> None:
    async def main() -> None:
        tasks = [asyncio.create_task(queue.aget()) for _ in range(1000)]
        await asyncio.sleep(0)
        before = resource.getrusage(resource.RUSAGE_SELF)
        await asyncio.wait(tasks, timeout=3.0)
        after = resource.getrusage(resource.RUSAGE_SELF)
        ready.put(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        queue.shutdown()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(main())


def test_blocked_coroutines_cost_nothing() -> None:
    queue, ready = conveyor.Queue[Any](), conveyor.Queue[Any]()
    with crew() as members:
        process = multiprocessing.get_context("fork").Process(target=wait_for_ever, args=(queue, ready))
        members.append(process)
        process.start()
        seconds = ready.get(timeout=30)
        finish(process)
    assert seconds < 0.1, "a thousand of them waited for three seconds"
