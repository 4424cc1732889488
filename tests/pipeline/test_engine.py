"""The parts of a run by themselves: its engine under a caller that iterates, lines, and the window."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from stages import always_fails, double, same, slow_item

from conveyor import Failure, Pipeline, PipelineError
from conveyor.pipeline import ItemFailed, LineSource, PipelineRun, Results
from conveyor.pipeline.flow.chunk import NO_RESULT, Chunk, MultiResult
from conveyor.pipeline.flow.reorder_buffer import ReorderBuffer

METHODS = ["fork", "spawn", "forkserver"]


class Unreadable:
    def __reduce__(self) -> Any:
        return int, ("not a number",)


def lock(item: Any) -> Any:
    return threading.Lock()


def unreadable(item: Any) -> Any:
    return Unreadable()


def takes_a_second(item: Any) -> Any:
    time.sleep(1)  # longer than the engine goes without looking for itself
    return item


def outcomes(pipeline: Pipeline[Any], **options: Any) -> tuple[list[Any], list[Failure]]:
    """Values that came out, and failures."""
    every = list(pipeline.stream(outcomes=True, **options))
    return (
        [value for value in every if not isinstance(value, Failure)],
        [value for value in every if isinstance(value, Failure)],
    )


class TestWhatCannotTravel:
    @pytest.mark.parametrize("method", METHODS)
    def test_an_item_that_cannot_be_pickled_fails_alone(self, method: str) -> None:
        items = [1, threading.Lock(), 2]
        values, failed = outcomes(Pipeline(items).map(same, workers=2, ordered=True), start_method=method)
        assert values == [1, 2]
        assert [failure.number for failure in failed] == [1]
        assert "cannot be pickled" in failed[0].message

    @pytest.mark.parametrize(("function", "says"), [(lock, "pickle"), (unreadable, "cannot be unpickled")])
    def test_a_result_that_cannot_travel_fails_alone(self, function: Any, says: str) -> None:
        values, failed = outcomes(Pipeline([1, 2]).map(function, workers=1))
        assert not values
        assert [failure.item for failure in failed] == [1, 2]
        assert says in str(failed[0])


class TestRunning:
    def test_events_are_told_as_they_come(self) -> None:
        running = PipelineRun(Pipeline(range(30)).map(always_fails, workers=2, on_error="skip"))
        failures = [event.failure for event in running.events() if isinstance(event, ItemFailed)]
        assert sorted(failure.item for failure in failures) == list(range(30))
        report = running.report()
        assert (report.taken, report.failures, report.results, report.in_flight) == (30, 30, 0, 0)

    @pytest.mark.parametrize("method", METHODS)
    def test_drain_stops_an_endless_source_and_loses_nothing(self, method: Any) -> None:
        running = PipelineRun(Pipeline(iter(int, 1)).map(same, workers=2), start_method=method, streams=True)
        count = 0
        for event in running.events():
            if isinstance(event, Results):
                count += len(event.values)
                running.engine.drain()
        report = running.report()
        assert report.taken == report.results == count > 0
        assert report.in_flight == 0

    def test_drain_takes_what_a_generator_is_about_to_give(self) -> None:
        made: list[int] = []

        def numbers() -> Iterator[int]:
            while True:
                time.sleep(0.05)
                made.append(len(made))
                yield made[-1]

        running = PipelineRun(Pipeline(numbers).map(same, workers=1), streams=True)
        results: list[int] = []
        for event in running.events():
            if isinstance(event, Results):
                results += event.values
                if len(results) == 3:
                    running.engine.drain()
        assert results == made

    def test_drain_does_not_wait_long_for_a_source_that_gives_nothing(self) -> None:
        gate = threading.Event()

        def one_and_no_more() -> Iterator[int]:
            yield 1
            gate.wait()

        running = PipelineRun(Pipeline(one_and_no_more).map(same, workers=1), streams=True)
        for event in running.events():
            if isinstance(event, Results):
                running.engine.drain()
        assert running.report().results == 1
        gate.set()

    def test_finishing_what_is_begun_says_what_is_cut_off(self) -> None:
        # What the quick stage has done waits for the slow one, which finishes only what it is at.
        stages = Pipeline(range(1000)).map(same, workers=1).map(slow_item, workers=1)
        running = PipelineRun(stages, streams=True)
        count = 0
        for event in running.events():
            if isinstance(event, Results):
                count += len(event.values)
                running.engine.finish_begun()
        report = running.report()
        assert 0 < report.results == count < report.taken
        assert report.taken == report.results + report.in_flight

    def test_a_worker_that_would_come_too_late_is_not_started(self) -> None:
        # On a busy machine the first may itself be so late that nothing is known of how long items take.
        runs = (Pipeline(range(100)).map(same, workers=2).run().stages[1] for _ in range(100))
        assert any(quick.size == 1 for quick in runs)
        slow = Pipeline(range(20)).map(slow_item, workers=2).run().stages[1]
        assert (slow.given, slow.size) == (20, 2)

    def test_leaving_the_iteration_leaves_no_process(self) -> None:
        values = Pipeline(iter(int, 1)).map(same, workers=2).stream()
        next(values)
        values.close()  # type: ignore[attr-defined]  # and the fixture of all tests looks for children

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"jobs": 0}, "jobs of the run is 0"),
            ({"halt": "later"}, "halt is 'later'"),
            ({"max_failures": -1}, "max_failures is -1"),
            ({"max_failures": "150%"}, "max_failures is '150%'"),
            ({"start_method": "thread"}, "cannot find context for 'thread'"),
        ],
    )
    def test_arguments_are_checked(self, options: dict[str, Any], message: str) -> None:
        with pytest.raises((PipelineError, ValueError), match=message):
            Pipeline([1]).map(double, workers=1).run(**options)


class TestLineSource:
    @pytest.mark.parametrize("block", [1, 2, 3, 7, 1000])
    @pytest.mark.parametrize("text", [b"", b"\n", b"a", b"a\n", b"a\nbc\n\n\ndef", b"\n\nx\n"])
    def test_lines_whatever_the_blocks(self, text: bytes, block: int) -> None:
        read, write = os.pipe()
        os.write(write, text)
        os.close(write)
        source = LineSource(read, block=block)
        lines: list[bytes] = []
        while not source.exhausted:
            source.fill()
            lines += source.take(2)
        while source.available:
            lines += source.take(2)
        os.close(read)
        assert lines == (text.removesuffix(b"\n").split(b"\n") if text else [])

    def test_a_pipeline_reads_a_pipe_as_it_is_written(self) -> None:
        read, write = os.pipe()
        values = Pipeline(LineSource(read)).map(same, threads=1).stream()
        for number in range(20):
            os.write(write, b"%d\n" % number)
            assert next(values) == b"%d" % number
        os.close(write)
        assert list(values) == []
        os.close(read)

    def test_a_result_does_not_wait_for_more_input(self) -> None:
        read, write = os.pipe()
        os.write(write, b"1\n")
        values = Pipeline(LineSource(read)).map(takes_a_second, threads=2).stream()
        assert next(values) == b"1"
        os.close(write)
        assert list(values) == []
        os.close(read)


class TestWindow:
    def test_order_is_restored_across_splits(self) -> None:
        window = ReorderBuffer(ordered=True, max_items=10, max_bytes=1000)
        run = Chunk(0, list("abcdef"))
        window.add(run)
        run.add(["A"], 0)
        window.grown(run, 1, 0)
        middle = window.split(run, 2)
        tail = window.split(middle, 4)
        tail.add(["E", "F"], 0)
        window.grown(tail, 2, 0)
        assert window.release() == (["A"], None)
        middle.add(["C", NO_RESULT], 0, special=True)
        window.grown(middle, 2, 0)
        assert window.release() == ([], None)
        assert (window.pending, window.room) == (4, 4)
        run.add(["B"], 0)
        window.grown(run, 1, 0)
        assert window.release() == (["B", "C", "E", "F"], None)
        assert (window.room, window.released, window.pending, window.bytes) == (10, 5, 0, 0)

    def test_flush_goes_over_what_will_never_come(self) -> None:
        window = ReorderBuffer(ordered=True, max_items=10, max_bytes=1000)
        first, second = Chunk(0, ["a"]), Chunk(1, ["b"])
        window.add(first)
        window.add(second)
        second.add(["B"], 0)
        window.grown(second, 1, 0)
        assert window.release() == ([], None)
        assert window.flush() == (["B"], None)
        assert window.room == 10

    def test_bytes_bound_it_as_items_do(self) -> None:
        window = ReorderBuffer(ordered=False, max_items=10, max_bytes=1000)
        run = Chunk(0, [b"x" * 1000])
        window.add(run)
        assert window.room == 0
        run.add([b""], 32)
        window.grown(run, 1, 32)
        window.release()
        assert (window.room, window.bytes) == (1, 0), "the next ones are taken to be as large"
        run = Chunk(1, [b"x" * 100] * 4)
        window.add(run)
        assert window.room == min(6, (1000 - run.weight) // (run.weight // 4)) < 6

    def test_origins_go_with_the_results(self) -> None:
        window = ReorderBuffer(ordered=True, max_items=10, max_bytes=1000)
        run = Chunk(0, ["a", "b", "c"], origins=[7, 8, 9])
        window.add(run)
        run.partial_results = ["early"]  # of an item with very many results
        assert window.release() == (["early"], [7])
        run.add([MultiResult(["A", "AA"]), NO_RESULT, "C"], 0, special=True)
        window.grown(run, 3, 0)
        assert window.release() == (["A", "AA", "C"], [7, 7, 9])

    def test_what_was_handed_out_does_not_change(self) -> None:
        window = ReorderBuffer(ordered=True, max_items=10, max_bytes=1000)
        run = Chunk(0, ["a", "b"])
        window.add(run)
        run.add(["A"], 0)
        window.grown(run, 1, 0)
        first, _ = window.release()
        run.add(["B"], 0)
        window.grown(run, 1, 0)
        assert (first, window.release()) == (["A"], (["B"], None))
