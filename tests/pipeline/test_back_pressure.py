"""Memory stays constant however much there is: in items, in bytes, behind a slow end, and for large arrays."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy
import pytest
from stages import add_one, same, slow_item, total_of

from conveyor import Event, Pipeline, SharedValue
from conveyor.pipeline import PipelineRun, Results
from conveyor.pipeline.flow.chunk import Chunk

METHODS = ["fork", "spawn", "forkserver"]
MIB = 1024 * 1024


class Endless:
    """An endless source that counts what was asked of it."""

    def __init__(self, item: bytes) -> None:
        self.item = item
        self.asked = 0

    def __call__(self) -> Iterator[bytes]:
        while True:
            self.asked += 1
            yield bytes(bytearray(self.item))  # a copy, so that each counts


def high_water() -> int:
    """The most memory that this process had in RAM since `reset_high_water`, in bytes."""
    with open("/proc/self/status") as file:  # noqa: PTH123
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM:"))


def reset_high_water() -> None:
    with open("/proc/self/clear_refs", "w") as file:  # noqa: PTH123
        file.write("5")


class Enough(Exception):
    """Ends a run from within its sink."""


def settled(source: Endless) -> int:
    """How much was asked of the source when for a while nothing more is."""
    before = -1
    while source.asked != before:
        before = source.asked
        time.sleep(0.4)
    return before


def take(stream: Any, count: int) -> None:
    for _ in range(count):
        next(stream)
    stream.close()


@pytest.mark.parametrize("method", METHODS)
class TestEndlessInput:
    def test_small_items(self, method: Any) -> None:
        source = Endless(b"x" * 100)
        stream = (
            Pipeline(source)
            .map(same, workers=2, ordered=True)
            .map(same, workers=1)
            .stream(start_method=method)
        )
        for _ in range(20_000):
            next(stream)
        reset_high_water()
        before = high_water()
        take(stream, 200_000)
        assert high_water() - before < 16 * MIB
        assert source.asked < 220_000 + 120_000  # what the stages may hold

    def test_large_items(self, method: Any) -> None:
        source = Endless(b"x" * MIB)
        reset_high_water()
        before = high_water()
        take(
            Pipeline(source).map(total_of, workers=2).map(slow_item, workers=1).stream(start_method=method),
            60,
        )
        assert high_water() - before < 160 * MIB
        assert source.asked < 60 + 160


class TestSlowEnds:
    @pytest.mark.parametrize(
        "steps",
        [
            lambda source: source.map(slow_item, workers=1),
            lambda source: source.batch(2).map(slow_item, workers=1),
            lambda source: source.tee(lambda item: None).batch(3).unbatch().map(slow_item, threads=2),
            lambda source: source.split(len, {}, otherwise=Pipeline().map(slow_item, workers=1)).merge(),
        ],
        ids=["map", "batch", "tee", "split"],
    )
    def test_no_step_lets_in_more_than_some_megabytes(self, steps: Any) -> None:
        source = Endless(b"x" * MIB)
        take(steps(Pipeline(source)).stream(), 40)
        assert source.asked < 40 + 160

    @pytest.mark.parametrize("method", METHODS)
    def test_a_slow_sink_holds_up_the_source(self, method: Any) -> None:
        source = Endless(b"x" * 10_000)
        took: list[int] = []

        def sink(item: bytes) -> None:
            took.append(len(item))
            if len(took) == 5:
                took.append(settled(source))
                raise Enough

        with pytest.raises(Enough):
            Pipeline(source).map(same, workers=2).map(same, workers=1).to(sink).run(start_method=method)
        assert took[-1] * 10_000 < 256 * MIB

    def test_a_slow_item_holds_up_an_ordered_stage_at_its_window(self) -> None:
        source = Endless(b"x")
        first = threading.Lock()

        def wait_if_first(item: bytes) -> bytes:
            if first.acquire(blocking=False):
                held.append(settled(source))
            return item

        held: list[int] = []
        stage = Pipeline(source).map(wait_if_first, threads=2, ordered=True)
        running = PipelineRun(stage, max_items=300, streams=True)
        for event in running.events():
            if isinstance(event, Results) and held:
                running.engine.drain()
        assert 1 < held[0] <= 300 + 300  # in the window, and ready to go there


class TestManyResultsOfOneItem:
    """A function that yields without end is held up, whoever runs it and whatever its results wait for."""

    @pytest.mark.parametrize("options", [{"workers": 2}, {"threads": 2}], ids=["processes", "threads"])
    def test_behind_a_slow_item(self, options: dict[str, Any]) -> None:
        gate, made = Event(), SharedValue(int)

        def some(item: int) -> Iterator[bytes]:
            if item == 0:
                gate.wait()
                yield b"first"
            while item:
                made.add(1)
                yield bytes(10_000)

        def open_when_settled() -> None:
            made.wait_for(lambda count: count > 0, timeout=30)
            before = -1
            while made.value != before:
                before = made.value
                time.sleep(0.4)
            held.append(before)
            gate.set()

        held: list[int] = []
        opener = threading.Thread(target=open_when_settled)
        opener.start()
        stream = Pipeline([0, 1]).flat_map(some, ordered=True, **options).stream()  # type: ignore[arg-type]
        assert next(stream) == b"first"
        take(stream, 100_000)  # what was held up goes on
        opener.join()
        assert 0 < held[0] * 10_000 < 400 * MIB

    @pytest.mark.parametrize("options", [{"workers": 1}, {"threads": 1}], ids=["processes", "threads"])
    def test_that_are_not_taken(self, options: dict[str, Any]) -> None:
        made = SharedValue(int)

        def endless(item: int) -> Iterator[bytes]:
            while True:
                made.add(1)
                yield bytes(10_000)

        stream = Pipeline([0]).flat_map(endless, **options).stream()  # type: ignore[arg-type]
        for _ in range(20_000):
            next(stream)
        before = -1
        while made.value != before:
            before = made.value
            time.sleep(0.4)
        assert (before - 20_000) * 10_000 < 400 * MIB
        stream.close()  # type: ignore[attr-defined]
        deadline = time.monotonic() + 20
        while any(thread.name == "conveyor endless" for thread in threading.enumerate()):  # it leaves
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def test_large_ones_travel_before_they_are_too_many(self) -> None:
        """Though one item has 64 results of 8 MiB, the worker never has them all."""

        def many(item: int) -> Iterator[numpy.ndarray[Any, Any]]:
            for number in range(64):
                yield numpy.full(MIB, number, "i8")

        run = Pipeline([0]).flat_map(many, workers=1).map(total_of_array, workers=1).to(list).run()
        assert run.result == [number * MIB for number in range(64)]
        assert run.stages[1].workers[0].peak_memory < 400 * MIB


def total_of_array(array: Any) -> int:
    return int(array.sum())


class TestArrays:
    """8 MiB arrays through three stages of processes: equal content, and no more memory than the windows hold."""

    @pytest.mark.parametrize("method", METHODS)
    def test_content_and_memory(self, method: Any) -> None:
        def arrays() -> Iterator[numpy.ndarray[Any, Any]]:
            for number in range(48):
                yield numpy.full((2048, 1024), number, "i4")

        stages = (
            Pipeline(arrays, ordered=True)
            .map(add_one, workers=1)
            .map(add_one, workers=2)
            .map(add_one, workers=1)
        )
        reset_high_water()
        before = high_water()
        count = 0
        for number, array in enumerate(stages.stream(start_method=method)):
            assert array.shape == (2048, 1024)
            assert array.dtype == numpy.dtype("i4")
            assert (array == number + 3).all()
            count += 1
        assert count == 48
        assert high_water() - before < 800 * MIB  # all of it in every stage would be 1,536 MiB


def test_what_a_run_weighs_is_never_negative() -> None:
    """It is a guess from a few items, and again for the rest when a run is cut."""
    for large in range(40):
        run = Chunk(0, [b"x" * 100_000 if number == large else number for number in range(40)])
        total = run.weight
        rest = run.split(20)
        assert run.weight >= 0
        assert rest.weight >= 0
        assert run.weight + rest.weight == total
