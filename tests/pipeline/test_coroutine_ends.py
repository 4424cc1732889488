"""Coroutines that end in unusual ways, and functions of all kinds that raise what passes through most handlers."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest
from stages import async_double, same

from conveyor import Pipeline, StageError
from conveyor.pipeline import Failure

ENDS: list[type[BaseException]] = [
    SystemExit,
    KeyboardInterrupt,
    asyncio.CancelledError,
    GeneratorExit,
    BaseException,
    StopAsyncIteration,
    ValueError,
]


def on(number: int, error: type[BaseException]) -> Any:
    async def function(item: int) -> int:
        await asyncio.sleep(0)
        if item == number:
            raise error("mine")
        return item

    return function


@pytest.mark.parametrize("error", ENDS)
@pytest.mark.parametrize("number", [0, 7])
@pytest.mark.parametrize("concurrency", [1, 4])
class TestItems:
    def test_it_ends_the_run(self, error: type[BaseException], number: int, concurrency: int) -> None:
        with pytest.raises(error) as caught:
            Pipeline(range(20)).map(on(number, error), concurrency=concurrency).to(list).run()
        assert any(f"on item {number}" in note for note in caught.value.__notes__)

    def test_it_is_the_items_own(self, error: type[BaseException], number: int, concurrency: int) -> None:
        """Its worker goes on: all others are done, and none has died."""
        stage = Pipeline(range(20)).map(
            on(number, error), concurrency=concurrency, on_error="skip", name="mine"
        )
        report = stage.to(set).run()
        assert report.result == set(range(20)) - {number}
        assert (report.failures, report.stages[1].deaths) == (1, 0)
        assert report.first_failures[0].kind.endswith(error.__name__)


@pytest.mark.parametrize("error", ENDS)
def test_it_is_tried_again(error: type[BaseException]) -> None:
    seen: list[int] = []

    async def function(item: int) -> int:
        seen.append(item)
        if seen.count(7) == 1 and item == 7:
            raise error("mine")
        return item

    report = Pipeline(range(10)).map(function, concurrency=2, retries=1, backoff=0.0).to(set).run()
    assert (report.result, report.retries) == (set(range(10)), 1)


@pytest.mark.parametrize("error", ENDS)
def test_in_setup(error: type[BaseException]) -> None:
    class Stage:
        async def setup(self) -> None:
            raise error("mine")

        async def __call__(self, item: int) -> int:
            return item

    with pytest.raises(error) as caught:
        Pipeline(range(20)).map(Stage, concurrency=2).to(list).run()
    assert "in the setup of a worker of stage 'Stage'" in caught.value.__notes__


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_in_teardown_it_does_not_end_the_loop(error: type[BaseException]) -> None:
    """A stage behind it, in the same loop, goes on."""

    class Stage:
        async def __call__(self, item: int) -> int:
            return item

        async def teardown(self) -> None:
            raise error("mine")

    got: list[int] = []
    pipeline = (
        Pipeline(range(20)).map(Stage, concurrency=2).batch(20).unbatch().map(async_double, concurrency=2)
    )
    with contextlib.suppress(error):  # a teardown's error may be one of the run
        pipeline.to(got).run()
    assert sorted(got) == list(range(0, 40, 2))


class TestCancelled:
    def test_what_it_awaits(self) -> None:
        async def function(item: int) -> int:
            if item == 3:
                other = asyncio.ensure_future(asyncio.sleep(3600))
                asyncio.get_running_loop().call_soon(other.cancel)
                await other
            return item

        report = Pipeline(range(10)).map(function, concurrency=2, on_error="skip").to(set).run()
        assert report.result == set(range(10)) - {3}

    @pytest.mark.parametrize("waits", [True, False])
    def test_it_cancels_itself(self, waits: bool) -> None:
        async def function(item: int) -> int:
            if item == 3:
                task = asyncio.current_task()
                assert task is not None
                task.cancel()
                if waits:
                    await asyncio.sleep(3600)
            return item

        report = Pipeline(range(10)).map(function, concurrency=1, on_error="skip").to(set).run()
        assert report.result == set(range(10)) - ({3} if waits else set())
        assert report.stages[1].deaths == 0

    def test_by_a_time_limit_of_its_own(self) -> None:
        async def function(item: int) -> int:
            async with asyncio.timeout(0.01 if item == 3 else None):
                await asyncio.sleep(3600 if item == 3 else 0)
            return item

        outcomes = list(Pipeline(range(5), ordered=True).map(function, concurrency=2).stream(outcomes=True))
        assert [one.kind if isinstance(one, Failure) else one for one in outcomes] == [
            0,
            1,
            2,
            "TimeoutError",
            4,
        ]

    def test_one_that_will_not_be_told(self) -> None:
        """Its time limit is over, it swallows that it is cancelled, and works on: somebody else does the rest."""

        async def function(item: int) -> int:
            if item == 3:
                for _ in range(3):
                    try:
                        await asyncio.sleep(3600)
                    except asyncio.CancelledError:
                        continue
            return item

        report = Pipeline(range(10)).map(function, concurrency=2, timeout=0.2, on_error="skip").to(set).run()
        assert report.result == set(range(10)) - {3}


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
@pytest.mark.parametrize("where", ["a stage", "the source"])
def test_a_task_that_the_program_made_in_the_loop(error: type[BaseException], where: str) -> None:
    """Out of a task these pass through the loop, and end it: the run, which would wait for it, ends with them."""
    tasks: list[Any] = []

    async def leave() -> None:
        raise error("mine")

    async def function(item: int) -> int:
        if item == 3:
            tasks.append(asyncio.ensure_future(leave()))
            await asyncio.sleep(3600)
        return item

    async def source() -> Any:
        for item in range(10):
            yield await function(item)

    pipeline = Pipeline(range(10)).map(function, concurrency=2) if where == "a stage" else Pipeline(source)
    with pytest.raises(error):
        pipeline.map(same, threads=1).to(list).run()
    assert isinstance(tasks[0].exception(), error)  # asked for, or asyncio would tell of it at some time


def stop_on_seven(item: int) -> int:
    return next(iter([item][: item != 7]))


class TestStopIteration:
    """It ends iterations: raised as it is, it would pass for the end of the results, or name nothing."""

    @pytest.mark.parametrize("where", [{"workers": 1}, {"threads": 1}])
    @pytest.mark.parametrize("streams", [True, False])
    def test_of_a_function(self, where: dict[str, Any], streams: bool) -> None:
        pipeline = Pipeline(range(20)).map(stop_on_seven, **where)
        with pytest.raises(StageError, match="StopIteration was raised") as caught:
            list(pipeline.stream()) if streams else pipeline.to(list).run()
        assert any("in stage 'stop_on_seven' on item 7" in note for note in caught.value.__notes__)

    @pytest.mark.parametrize("kind", ["filter", "flat_map"])
    def test_of_other_kinds_of_stages(self, kind: str) -> None:
        with pytest.raises((StageError, RuntimeError)) as caught:
            list(getattr(Pipeline(range(20)), kind)(lambda item: [stop_on_seven(item)], threads=1).stream())
        assert any("on item 7" in note for note in caught.value.__notes__)

    @pytest.mark.parametrize("end", ["to", "tee", "reduce", "split", "on_error"])
    def test_in_this_process(self, end: str) -> None:
        def stop(*_: Any) -> Any:
            raise StopIteration("mine")

        def fail(_: int) -> int:
            raise ValueError("no")

        pipeline = Pipeline(range(3))
        if end == "split":
            pipeline = pipeline.split(stop, {1: Pipeline().to(list)})
        elif end == "on_error":
            pipeline = pipeline.map(fail, threads=1, on_error=stop)
        else:
            pipeline = getattr(pipeline, end)(stop, *([0] if end == "reduce" else []))
        with pytest.raises(StageError, match=r"StopIteration was raised.*\(mine\)") as caught:
            pipeline.run()
        assert caught.value.__notes__
