"""What tests/process/test_without_proc.py runs where no /proc is mounted: `without_proc.py PART [START METHOD]`."""

import asyncio
import os
import pickle
import signal
import sys
from multiprocessing import connection
from typing import Any

import pytest

import conveyor
import conveyor.multiprocessing as multiprocessing

URL = "shm://without-proc"


def use(queue: Any, lock: Any, event: Any, pipe: Any, keys: Any) -> None:
    with lock:
        queue.put("queue")
    keys["key"] = "dict"
    pipe.send("pipe")
    event.set()


def arguments(method: str) -> None:
    context = multiprocessing.get_context(method)
    queue, lock, event, keys = context.Queue(), context.Lock(), context.Event(), conveyor.SharedDict()
    here, there = context.Pipe()
    process = context.Process(target=use, args=(queue, lock, event, there, keys))
    process.start()
    assert event.wait(30)
    assert (queue.get(timeout=5), here.recv(), keys["key"]) == ("queue", "pipe", "dict")
    process.join()
    assert process.exitcode == 0


def receive(carrier: Any) -> None:
    queue, lock, pipe, keys = carrier.get(timeout=30)
    use(queue, lock, conveyor.Event(), pipe, keys)


def through_a_queue(method: str) -> None:
    context = multiprocessing.get_context(method)
    carrier = context.Queue()
    process = context.Process(target=receive, args=(carrier,))
    process.start()
    queue, keys = conveyor.Queue[str](), conveyor.SharedDict()
    here, there = conveyor.Pipe()
    carrier.put((queue, conveyor.Lock(), there, keys))
    assert (queue.get(timeout=30), here.recv(), keys["key"]) == ("queue", "pipe", "dict")
    process.join()
    assert process.exitcode == 0


def double(number: int) -> int:
    return 2 * number


def pools(method: str) -> None:
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map(double, [1, 2]) == [2, 4]


def pipelines(method: str) -> None:
    stages = conveyor.Pipeline(range(3)).map(double, workers=2).map(double, threads=1)
    assert sorted(stages.stream(start_method=method)) == [0, 4, 8]
    stages.run(start_method=method, progress=True).to_dict()


def queues(_: str) -> None:
    for queue in (conveyor.Queue[int](), conveyor.Queue[int](maxsize=2), conveyor.JoinableQueue[int]()):
        queue.put(1)
        assert connection.wait([queue._reader], 5) == [queue._reader]  # type: ignore[list-item]
        with queue.lease(timeout=1) as item:
            assert item == 1
        assert connection.wait([queue._reader], 0) == []  # type: ignore[list-item]
        queue.statistics()
    simple = conveyor.SimpleQueue[int]()
    simple.put(1)
    assert simple.get() == 1


def coroutines(_: str) -> None:
    async def main() -> None:
        queue = conveyor.Queue[int](maxsize=1)
        taking = asyncio.create_task(queue.aget())
        await asyncio.sleep(0)
        await queue.aput(1)
        assert await taking == 1

    asyncio.run(main())


def named(_: str) -> None:
    queue = conveyor.connect(URL, create=True)
    try:
        child = os.fork()
        if child == 0:
            conveyor.connect(URL, create=False).put("item")
            os._exit(0)
        assert queue.get(timeout=10) == "item"
        assert os.waitpid(child, 0)[1] == 0
    finally:
        conveyor.remove(URL)


def topics(_: str) -> None:
    topic = conveyor.Topic[int]()
    events = topic.subscribe()
    topic.publish(1)
    assert events.get(timeout=1) == 1


def deaths(_: str) -> None:
    lock, queue = conveyor.Lock(), conveyor.Queue[int]()
    queue.put(1)
    child = os.fork()
    if child == 0:
        lock.acquire()
        _held = queue.lease(timeout=1).__enter__()
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert lock.acquire(timeout=10)
    assert lock.recovered
    with queue.lease(timeout=10) as item:
        assert item == 1


def gone(_: str) -> None:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, pickle.dumps(conveyor.Queue()))
        os._exit(0)
    os.waitpid(child, 0)
    with pytest.raises(conveyor.SegmentGone, match=f"process {child}, which sent it, has ended"):
        pickle.loads(os.read(reading, 10000))


def nowhere(_: str) -> None:
    """No folder for a FIFO either."""
    queue = conveyor.Queue[int]()
    queue.put(1)
    with pytest.raises(FileNotFoundError, match=r"there is no /proc \(mount -t proc proc /proc\)"):
        queue._reader.fileno()
    assert queue.get() == 1


if __name__ == "__main__":
    assert not os.path.exists("/proc/self"), "this is for where there is no /proc"  # noqa: PTH110
    globals()[sys.argv[1]](*sys.argv[2:] or [""])
    print("done")
