"""Runs in asyncio programs: `arun` and `astream`; the loop goes on, and no worker outlives who wanted its results."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import inspect
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import uvloop

from conveyor import Failure, Pipeline, PipelineError, Queue
from conveyor.pipeline.graph.run_keywords import RunKeywords, StreamKeywords

uvloop.new_event_loop().close()  # libuv makes a pipe for the whole process with its first loop, and keeps it

METHODS: list[Any] = ["fork", "spawn", "forkserver"]


def double(item: int) -> int:
    return 2 * item


def pid_of(_: int) -> int:
    return os.getpid()


def note_and_hang(item: int, folder: Path) -> int:
    """Says which process has it, and never ends."""
    (folder / f"{os.getpid()}.begun").touch()
    while True:
        time.sleep(60)
    return item


def wait_for(item: int, path: Path) -> int:
    """Ends when the file is there."""
    while not path.exists():
        time.sleep(0.001)
    return item


def inverse(item: int) -> float:
    return 1 / item


def quick(item: int) -> int:
    return item


async def in_loop(item: int) -> tuple[int, int]:
    await asyncio.sleep(0)
    return item, id(asyncio.get_running_loop())


async def begun_in(folder: Path, count: int = 1) -> list[int]:
    """The processes that have begun an item, as soon as there are so many."""
    while len(found := list(folder.glob("*.begun"))) < count:
        await asyncio.sleep(0.001)
    return [int(path.stem) for path in found]


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


async def until_gone(pids: list[int]) -> None:
    while not all(map(is_gone, pids)):
        await asyncio.sleep(0.001)


@pytest.fixture(params=["asyncio", "uvloop"])
def runner(request: pytest.FixtureRequest) -> Iterator[asyncio.Runner]:
    factory = uvloop.new_event_loop if request.param == "uvloop" else None
    with asyncio.Runner(loop_factory=factory) as made:
        yield made


@pytest.mark.parametrize("method", METHODS)
def test_a_run_is_awaited(method: Any, runner: asyncio.Runner) -> None:
    async def main() -> None:
        pipeline = Pipeline(range(1000)).map(double, workers=2, ordered=True)
        report = await pipeline.to(list).arun(start_method=method)
        assert report.result == [2 * number for number in range(1000)]
        assert [item async for item in pipeline.astream(start_method=method)] == report.result

    runner.run(main())


def test_coroutines_and_async_sources_live_in_the_loop_of_the_program(runner: asyncio.Runner) -> None:
    loops = set[int]()

    async def numbers() -> AsyncIterator[int]:
        for number in range(50):
            loops.add(id(asyncio.get_running_loop()))
            await asyncio.sleep(0)
            yield number

    async def main() -> None:
        # A lock of this loop's cannot be waited for in another.
        lock = asyncio.Lock()

        async def locked(item: int) -> int:
            async with lock:
                await asyncio.sleep(0)
            return item

        pipeline = (
            Pipeline(numbers).map(locked, concurrency=5).map(in_loop, concurrency=5).map(quick, threads=1)
        )
        results = [item async for item in pipeline.astream()]
        assert sorted(number for number, _ in results) == list(range(50))
        assert {where for _, where in results} == loops == {id(asyncio.get_running_loop())}
        assert not [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]

    runner.run(main())


def test_the_loop_goes_on_while_the_run_waits(runner: asyncio.Runner, tmp_path: Path) -> None:
    async def main() -> int:
        beats = 0

        async def heartbeat() -> None:
            nonlocal beats
            while True:
                beats += 1
                if beats == 1000:
                    (tmp_path / "gate").touch()  # without which the run never ends
                await asyncio.sleep(0)

        beating = asyncio.create_task(heartbeat())
        report = await Pipeline([1, 2]).map(wait_for, args=(tmp_path / "gate",), workers=1).to(list).arun()
        assert sorted(report.result) == [1, 2]
        before = beats
        async for _ in Pipeline(range(20_000)).map(quick, threads=1).astream():
            pass
        beating.cancel()
        return beats - before

    # Results that are there already do not keep the loop from its other tasks.
    assert runner.run(main()) > 15


@pytest.mark.parametrize("method", METHODS)
def test_a_cancelled_run_leaves_no_worker(method: Any, runner: asyncio.Runner, tmp_path: Path) -> None:
    async def main() -> None:
        pipeline = Pipeline(range(4)).map(note_and_hang, workers=2, args=(tmp_path,))
        task = asyncio.create_task(pipeline.arun(start_method=method))
        pids = await begun_in(tmp_path, 2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert all(map(is_gone, pids))

    runner.run(main())


def test_a_second_cancellation_does_not_wait_for_what_is_at_work(tmp_path: Path) -> None:
    async def main() -> float:
        task = asyncio.create_task(Pipeline([1]).map(note_and_hang, workers=1, args=(tmp_path,)).arun())
        pids = await begun_in(tmp_path)
        began = time.monotonic()
        task.cancel()
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert all(map(is_gone, pids))
        return time.monotonic() - began

    assert asyncio.run(main()) < 0.9  # the first waits for a second


@pytest.mark.parametrize("leave", ["cancel", "timeout", "break", "aclosing", "error", "drop"])
def test_whoever_leaves_the_loop_ends_the_workers(leave: str, runner: asyncio.Runner, tmp_path: Path) -> None:
    async def main() -> None:
        # One result, and then items that never end.
        pipeline = Pipeline(range(5)).flat_map(one_then_hang, workers=2, args=(tmp_path,))
        stream = pipeline.astream()
        assert await anext(stream) == 0
        pids = await begun_in(tmp_path)
        if leave == "cancel":
            task = asyncio.create_task(anext(stream))  # type: ignore[arg-type]
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert all(map(is_gone, pids))
        elif leave == "timeout":
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(stream), 0.01)
            assert all(map(is_gone, pids))
        elif leave == "aclosing":
            async with contextlib.aclosing(stream):  # type: ignore[type-var]
                pass
            assert all(map(is_gone, pids))
        elif leave == "drop":
            del stream
            await until_gone(pids)
        else:
            del stream
            with contextlib.suppress(LookupError):
                async for _ in pipeline.astream():
                    if leave == "break":
                        break
                    raise LookupError
            pids = await begun_in(tmp_path)
            gc.collect()
            await until_gone(pids)

    runner.run(main())


def one_then_hang(item: int, folder: Path) -> Iterator[int]:
    if item == 0:
        yield 0
    else:
        yield note_and_hang(item, folder)


def test_an_iteration_that_was_left_gives_nothing_more() -> None:
    async def main() -> None:
        stream = Pipeline(range(10)).map(quick, threads=1).astream()
        assert await anext(stream) == 0
        await stream.aclose()  # type: ignore[attr-defined]
        await stream.aclose()  # type: ignore[attr-defined]
        assert [item async for item in stream] == []
        never_begun = Pipeline(range(10)).astream()
        await never_begun.aclose()  # type: ignore[attr-defined]
        assert [item async for item in never_begun] == []

    asyncio.run(main())


def test_what_a_function_raises_is_raised_with_the_report() -> None:
    async def main() -> None:
        pipeline = Pipeline([1, 0, 2]).map(inverse, workers=1, ordered=True)
        with pytest.raises(ZeroDivisionError) as raised:
            await pipeline.arun()
        assert raised.value.report.stages[1].failures == 1  # type: ignore[attr-defined]
        with pytest.raises(ZeroDivisionError):
            async for _ in pipeline.astream():
                pass
        outcomes = [item async for item in pipeline.astream(outcomes=True)]
        assert (outcomes[0], outcomes[2]) == (1.0, 0.5)
        assert isinstance(outcomes[1], Failure)
        with pytest.raises(PipelineError, match="has no source"):
            await Pipeline().map(inverse).arun()
        with pytest.raises(PipelineError, match="has no source"):
            Pipeline().map(inverse).astream()

    asyncio.run(main())


def test_several_runs_in_one_loop(runner: asyncio.Runner) -> None:
    async def one(number: int) -> list[int]:
        where: Any = {"workers": 1} if number % 2 else {"threads": 2}
        pipeline = Pipeline(range(number, number + 200)).map(double, **where)
        return sorted([item async for item in pipeline.astream()])  # type: ignore[type-var]

    async def main() -> None:
        results = await asyncio.gather(*map(one, range(6)))
        assert results == [[2 * item for item in range(number, number + 200)] for number in range(6)]

    runner.run(main())


def test_two_tasks_do_not_share_an_iteration() -> None:
    async def main() -> None:
        stream = Pipeline(range(100)).map(quick, threads=1).astream()
        first = asyncio.ensure_future(anext(stream))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="two tasks iterate"):
            await anext(stream)
        assert await first == 0
        await stream.aclose()  # type: ignore[attr-defined]

    asyncio.run(main())


def test_a_slow_loop_body_holds_up_the_source() -> None:
    taken = 0

    def numbers() -> Iterator[bytes]:
        nonlocal taken
        while True:
            taken += 1
            yield bytes(1024 * 1024)

    async def main() -> None:
        stream = Pipeline(numbers).map(len, threads=2).map(bytes, threads=1).astream()
        await anext(stream)
        # What is under way comes to rest: nobody takes anything.
        before = -1
        while before != taken:
            before = taken
            await asyncio.sleep(0.3)
        assert taken < 400
        await stream.aclose()  # type: ignore[attr-defined]

    asyncio.run(main())


def test_what_nobody_has_seen_goes_back_to_the_queue() -> None:
    async def main() -> None:
        queue = Queue()
        queue.put_many(range(100))
        stream = Pipeline(queue, acknowledge="on_result", ordered=True).map(quick, threads=1).astream()
        seen = [await anext(stream) for _ in range(10)]
        await stream.aclose()  # type: ignore[attr-defined]
        rest = [queue.get(timeout=10) for _ in range(queue.qsize())]
        assert sorted({*rest, *seen}) == list(range(100))
        queue.close()

    asyncio.run(main())


SIGNALLED = """
import asyncio, os, signal, sys, time
from conveyor import Pipeline

def slowly(item):
    time.sleep(0.05)
    return item

def numbers():
    number = 0
    while True:
        yield (number := number + 1)

async def main():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    asks = sys.argv[1] == "asks"
    seen = []
    def see(item):
        seen.append(signal.getsignal(signal.SIGTERM))
        if len(seen) == 3:
            os.kill(os.getpid(), signal.SIGTERM if asks else signal.SIGINT)
    try:
        report = await Pipeline(numbers).map(slowly, workers=1).to(see).arun(signals=asks)
        print("report", report.interrupted)
    except asyncio.CancelledError:
        print("cancelled", seen[0] is before[1])
        raise
    finally:
        assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before

try:
    asyncio.run(main())
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.parametrize(("asks", "said"), [("asks", "report SIGTERM"), ("", "cancelled True interrupted")])
def test_signals_are_the_programs_unless_asked_for(asks: str, said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SIGNALLED, asks], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.split() == said.split(), done.stderr
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("keywords", [RunKeywords, StreamKeywords])
def test_the_options_are_those_of_run_and_stream(keywords: Any) -> None:
    for method in (Pipeline.run, Pipeline.stream) if keywords is StreamKeywords else (Pipeline.run,):
        assert set(get_type_hints(keywords)) <= set(inspect.signature(method).parameters)
