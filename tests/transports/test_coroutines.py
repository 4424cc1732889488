"""Queues in asyncio, on every transport."""

from __future__ import annotations

import asyncio
import functools
import operator
import queue as standard
import threading
import time
from typing import Any

import pytest

from conveyor import ShutDown


def test_put_and_get(make: Any) -> None:
    queue = make()

    async def main() -> None:
        await queue.aput("a")
        await queue.aput_many(range(50))
        assert await queue.aget(timeout=10) == "a"
        got: list[int] = []
        while len(got) < 50:
            some = await queue.aget_many(20, timeout=10)
            assert 1 <= len(some) <= 20
            got += some
        assert got == list(range(50))
        with pytest.raises(standard.Empty):
            await queue.aget(timeout=0.2)
        with pytest.raises(standard.Empty):
            await queue.aget(timeout=0)

    asyncio.run(main())


def test_many_at_a_time_and_no_thread_for_each(make: Any) -> None:
    queue = make()

    async def main() -> None:
        await queue.aput(-1)  # the transport's own threads begin with the first items
        assert await queue.aget(timeout=60) == -1
        getters = [asyncio.create_task(queue.aget(timeout=60)) for _ in range(200)]
        await asyncio.sleep(0.05)
        before = threading.active_count()
        await asyncio.gather(*(queue.aput(number) for number in range(200)))
        assert sorted(await asyncio.gather(*getters)) == list(range(200))
        assert threading.active_count() <= before + 3

    asyncio.run(main())


def test_a_cancelled_getter_has_taken_nothing(make: Any) -> None:
    queue = make()

    async def main() -> None:
        for number in range(20):
            getter = asyncio.create_task(queue.aget())
            await asyncio.sleep(0.001 * number)
            await queue.aput(number)
            await asyncio.sleep(0.001 * (number % 3))
            getter.cancel()
            try:
                assert await getter == number
            except asyncio.CancelledError:
                assert await queue.aget(timeout=30) == number

    asyncio.run(main())


@pytest.mark.needs("exact_bounds")
def test_a_cancelled_putter_has_put_nothing(make: Any) -> None:
    queue = make(maxsize=1)

    async def main() -> None:
        await queue.aput("first")
        putter = asyncio.create_task(queue.aput("never"))
        await asyncio.sleep(0.05)
        putter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await putter
        assert await queue.aget(timeout=10) == "first"
        with pytest.raises(standard.Empty):
            await queue.aget(timeout=0.3)

    asyncio.run(main())


def test_cancelled_in_the_middle_it_is_in_or_not(make: Any) -> None:
    """Cancelled at some moment: either aput returns and the item is in, or it raises and it is not."""
    queue = make()

    async def put(number: int, put: set[int]) -> None:
        await queue.aput(number)
        put.add(number)
        await asyncio.sleep(10)  # where a cancellation that came too late for the put arrives

    async def main() -> None:
        done: set[int] = set()
        for number in range(60):
            task = asyncio.create_task(put(number, done))
            await asyncio.sleep(0.0002 * (number % 10))
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        got: set[int] = set()
        while True:
            try:
                got.add(await queue.aget(timeout=0.5))
            except standard.Empty:
                break
        assert got == done

    asyncio.run(main())


def test_a_timeout_around_a_put_leaves_no_cancellation_behind(make: Any) -> None:
    queue = make()

    async def main() -> None:
        for number in range(50):
            try:
                async with asyncio.timeout(0.0001 * number):
                    await queue.aput(number)
            except TimeoutError:
                pass
            await asyncio.sleep(0.001)  # raises if a cancellation is left over

    asyncio.run(main())


@pytest.mark.needs("exact_bounds")
def test_waits_for_room(make: Any) -> None:
    queue = make(maxsize=2)

    async def main() -> None:
        putters = asyncio.gather(*(queue.aput(number) for number in range(10)))
        got = [await queue.aget(timeout=30) for _ in range(10)]
        await putters
        assert got == list(range(10))
        await queue.aput_many([1, 2])
        start = time.monotonic()
        with pytest.raises(standard.Full):
            await queue.aput(3, timeout=0.3)
        assert time.monotonic() - start >= 0.3
        with pytest.raises(standard.Full) as full:
            await queue.aput_many([3, 4], timeout=0.1)
        assert full.value.items_put == 0  # type: ignore[attr-defined]

    asyncio.run(main())


def test_lease(make: Any) -> None:
    queue = make()

    async def main() -> None:
        await queue.aput_many(["a", "b"])
        async with queue.alease(timeout=10) as item:
            assert item == "a"
        with pytest.raises(KeyError):
            async with queue.alease(timeout=10) as item:
                assert item == "b"
                raise KeyError
        lease = await queue.alease(timeout=10)
        assert (lease.item, lease.attempts) == ("b", 1)
        lease.acknowledge()
        with pytest.raises(standard.Empty):
            await queue.alease(timeout=0.1)

    asyncio.run(main())


def test_a_cancelled_block_gives_its_item_back(make: Any) -> None:
    queue = make()

    async def work() -> None:
        async with queue.alease(timeout=10):
            await asyncio.sleep(60)

    async def main() -> None:
        await queue.aput("a")
        worker = asyncio.create_task(work())
        await asyncio.sleep(0.2)
        worker.cancel()
        with pytest.raises(asyncio.CancelledError):
            await worker
        assert await queue.aget(timeout=30) == "a"

    asyncio.run(main())


def test_iteration_ends(make: Any) -> None:
    queue = make()

    async def consume() -> list[int]:
        return [item async for item in queue]

    async def main() -> None:
        with queue.producing():
            consumers = [asyncio.create_task(consume()) for _ in range(3)]
            for number in range(30):
                await queue.aput(number)
        assert sorted(functools.reduce(operator.iadd, await asyncio.gather(*consumers), [])) == list(
            range(30)
        )
        with pytest.raises(ShutDown):
            await queue.aput(1)
        with pytest.raises(ShutDown):
            await queue.aget()

    asyncio.run(main())


def test_several_loops(make: Any) -> None:
    queue = make()
    got: list[int] = []

    async def consume() -> None:
        async for item in queue:
            got.append(item)

    with queue.producing():
        threads = [threading.Thread(target=asyncio.run, args=(consume(),)) for _ in range(2)]
        for thread in threads:
            thread.start()
        queue.put_many(range(100))
    for thread in threads:
        thread.join(60)
    assert sorted(got) == list(range(100))
