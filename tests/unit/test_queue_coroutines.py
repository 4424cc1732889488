"""aput, aget and their kin: on asyncio's loop and on uvloop's."""

from __future__ import annotations

import asyncio
import gc
import os
import pickle
import random
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest
import uvloop

import conveyor

# libuv keeps a pipe for signals from its first loop on, for good.
uvloop.new_event_loop().close()

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Callable[[Awaitable[Any]], Any]:
    def run_it(main: Any) -> Any:
        with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:
            return runner.run(main)

    return run_it


async def until_waiting(*tasks: asyncio.Task[Any]) -> None:
    """Until each of the tasks waits for a future that nobody has woken."""
    for _ in range(5):
        await asyncio.sleep(0)
    assert not any(task.done() for task in tasks)


def descriptors() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


class TestGet:
    def test_what_is_there(self, run: Any) -> None:
        async def main() -> None:
            queue: Any = conveyor.Queue()
            queue.put_many([1, 2, 3])
            assert await queue.aget() == 1
            assert await queue.aget_many() == [2, 3]

        run(main())

    def test_waits_while_others_run(self, run: Any) -> None:
        async def main() -> None:
            queue: Any = conveyor.Queue()
            task = asyncio.create_task(queue.aget())
            many = asyncio.create_task(queue.aget_many(5))
            await until_waiting(task, many)
            queue.put("one")
            assert await task == "one"
            queue.put_many([2, 3])
            assert await many == [2, 3]

        run(main())

    def test_from_another_thread(self, run: Any) -> None:
        async def main() -> None:
            queue: Any = conveyor.Queue()
            task = asyncio.create_task(queue.aget())
            await until_waiting(task)
            thread = threading.Thread(target=queue.put, args=("item",))
            thread.start()
            assert await task == "item"
            thread.join()

        run(main())

    @pytest.mark.parametrize("timeout", [0, 0.02, -1])
    def test_timeout(self, run: Any, timeout: float) -> None:
        async def main() -> None:
            queue: Any = conveyor.Queue()
            for call in (queue.aget, queue.aget_many):
                with pytest.raises(conveyor.Empty):
                    await call(timeout=timeout)

        run(main())

    def test_no_thread_and_no_descriptor_for_each(self, run: Any) -> None:
        async def main() -> None:
            queue: Any = conveyor.Queue()
            await asyncio.gather(queue.aput(1), queue.aget())
            threads, files = threading.active_count(), descriptors()
            tasks = [asyncio.create_task(queue.aget()) for _ in range(200)]
            await until_waiting(*tasks)
            assert threading.active_count() == threads
            assert descriptors() <= files + 2  # ours, and the queue's, once
            queue.put_many(range(200))
            assert sorted(await asyncio.gather(*tasks)) == list(range(200))
            assert descriptors() <= files + 1

        run(main())

    def test_a_cancelled_one_takes_nothing(self, run: Any) -> None:
        async def main() -> None:
            queue: Any = conveyor.Queue()
            numbers = random.Random(3)
            received = []
            for number in range(300):
                tasks = [asyncio.create_task(queue.aget()) for _ in range(3)]
                for _ in range(numbers.randrange(4)):
                    await asyncio.sleep(0)
                queue.put(number)
                for _ in range(numbers.randrange(4)):
                    await asyncio.sleep(0)
                victim = numbers.choice(tasks)
                victim.cancel()
                # Whoever has it has returned it: the item is in one task's hands, or in the queue.
                queue.put("last")
                queue.put("last")
                results = await asyncio.gather(*tasks, return_exceptions=True)
                received += [one for one in results if isinstance(one, int)]
                while queue.qsize():
                    left = queue.get()
                    received += [left] if isinstance(left, int) else []
            assert received == list(range(300))

        run(main())

    def test_two_handles_of_one_queue(self, run: Any) -> None:
        async def main() -> None:
            queue: Any = conveyor.Queue()
            other = pickle.loads(pickle.dumps(queue))
            tasks = [asyncio.create_task(each.aget()) for each in (queue, other, queue, other)]
            await until_waiting(*tasks)
            queue.put_many(range(4))
            assert sorted(await asyncio.gather(*tasks)) == [0, 1, 2, 3]

        run(main())
        conveyor.Queue()  # lets go of what was sent and has been received

    def test_beside_a_watch_of_the_users_own(self, run: Any) -> None:
        async def main() -> None:
            queue: Any = conveyor.Queue()
            seen: list[int] = []
            loop = asyncio.get_running_loop()
            loop.add_reader(queue._reader.fileno(), seen.append, 1)
            task = asyncio.create_task(queue.aget())
            await until_waiting(task)
            queue.put(1)
            assert await task == 1
            queue.put(2)
            for _ in range(100):
                await asyncio.sleep(0)
            assert seen
            loop.remove_reader(queue._reader.fileno())

        run(main())

    def test_a_loop_in_each_thread(self) -> None:
        queue: Any = conveyor.Queue()
        received: list[int] = []

        def work() -> None:
            async def main() -> None:
                async for item in queue:
                    received.append(item)

            asyncio.run(main())

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        for number in range(300):
            queue.put(number)
        queue.shutdown()
        for thread in threads:
            thread.join()
        assert sorted(received) == list(range(300))


class TestPut:
    def test_waits_for_room(self, run: Any) -> None:
        async def main() -> None:
            queue: Any = conveyor.Queue(maxsize=1)
            await queue.aput(1)
            tasks = [asyncio.create_task(queue.aput(number)) for number in (2, 3, 4)]
            await until_waiting(*tasks)
            assert [await queue.aget() for _ in range(4)] == [1, 2, 3, 4]
            await asyncio.gather(*tasks)

        run(main())

    def test_one_thread_for_a_queue_and_none_afterwards(self, run: Any) -> None:
        async def main() -> None:
            queue: Any = conveyor.Queue(maxsize=1)
            before = threading.active_count()
            queue.put(0)
            tasks = [asyncio.create_task(queue.aput(number)) for number in range(100)]
            await until_waiting(*tasks)
            assert threading.active_count() == before + 1
            taken = [await queue.aget() for _ in range(101)]
            assert sorted(taken) == sorted([0, *range(100)])
            await asyncio.gather(*tasks)
            while threading.active_count() > before:
                await asyncio.sleep(0.01)

        run(main())

    def test_room_in_bytes(self, run: Any) -> None:
        async def main() -> None:
            queue: Any = conveyor.Queue(max_bytes=200_000)
            await queue.aput(np.zeros(10_000))
            await queue.aput(b"x" * 10)
            task = asyncio.create_task(queue.aput(np.ones(15_000)))
            await until_waiting(task)
            await queue.aput(b"small ones still fit")
            first = await queue.aget()
            await asyncio.sleep(0.01)
            assert not task.done(), "what is lent takes room"
            del first
            for _ in range(2):
                await queue.aget()
            await task
            assert (await queue.aget() == 1).all()

        run(main())

    @pytest.mark.parametrize("timeout", [0, 0.02])
    def test_timeout(self, run: Any, timeout: float) -> None:
        async def main() -> None:
            queue: Any = conveyor.Queue(maxsize=2)
            with pytest.raises(conveyor.Full) as caught:
                await queue.aput_many(range(5), timeout=timeout)
            assert caught.value.items_put == 2  # type: ignore[attr-defined]
            with pytest.raises(conveyor.Full):
                await queue.aput(1, timeout=timeout)
            assert queue.get_many(10) == [0, 1]

        run(main())

    def test_a_cancelled_one_puts_nothing(self, run: Any) -> None:
        async def main() -> None:
            queue: Any = conveyor.Queue(maxsize=1)
            queue.put("first")
            task = asyncio.create_task(queue.aput("never"))
            await until_waiting(task)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert queue.get() == "first"
            await queue.aput("second")
            assert queue.get() == "second"
            assert queue.empty()

        run(main())

    def test_many(self, run: Any) -> None:
        async def main() -> None:
            queue: Any = conveyor.Queue(maxsize=10)
            task = asyncio.create_task(queue.aput_many(range(2000)))
            received: list[int] = []
            while len(received) < 2000:
                received += await queue.aget_many()
            await task
            assert received == list(range(2000))

        run(main())

    def test_an_item_that_cannot_be_pickled(self, run: Any) -> None:
        async def main() -> None:
            queue: Any = conveyor.Queue()
            with pytest.raises(TypeError):
                await queue.aput(threading.Lock())
            with pytest.raises(TypeError) as caught:
                await queue.aput_many([*range(300), threading.Lock()])
            assert caught.value.items_put == 256 == queue.qsize()  # type: ignore[attr-defined]

        run(main())


class TestEnding:
    def test_async_for(self, run: Any) -> None:
        async def main() -> None:
            queue: Any = conveyor.Queue(maxsize=5)

            async def produce() -> None:
                with queue.producing():
                    for number in range(100):
                        await queue.aput(number)

            queue.expect_producers(3)
            producers = [asyncio.create_task(produce()) for _ in range(3)]
            received = [item async for item in queue]
            await asyncio.gather(*producers)
            assert sorted(received) == sorted([*range(100)] * 3)

        run(main())

    def test_shutdown_wakes_all(self, run: Any) -> None:
        async def main() -> None:
            full: Any = conveyor.Queue(maxsize=1)
            empty: Any = conveyor.Queue()
            full.put(1)
            tasks = [asyncio.create_task(call) for call in (empty.aget(), empty.aget_many(), empty.aget())]
            tasks += [asyncio.create_task(call) for call in (full.aput(1), full.aput_many([1]), full.aput(2))]
            await until_waiting(*tasks)
            full.shutdown()
            empty.shutdown()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert [type(result) for result in results] == [conveyor.ShutDown] * 6

        run(main())
