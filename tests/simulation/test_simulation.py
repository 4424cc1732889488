"""`conveyor.testing`: a pipeline of one's own in a simulated world."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from conveyor import Failure, ItemTimeout, NotSupported, Pipeline, Queue, TooManyFailures, WorkerLost
from conveyor.pipeline.testing.death import Moment
from conveyor.testing import Broken, Death, Simulation, Stuck


def double(item: int) -> int:
    return 2 * item


def fails_on_three(item: int) -> int:
    if item == 3:
        raise ValueError("three")
    return item


async def later(item: int) -> int:
    return item


class Counter:
    """Counts in each worker."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, item: int) -> int:
        self.count += 1
        return self.count


class TestDeaths:
    @pytest.mark.parametrize("moment", ["start", "setup", "take", "call", "result", "leave"])
    @pytest.mark.parametrize("ordered", [False, True])
    def test_nothing_is_lost(self, moment: Moment, ordered: bool) -> None:
        deaths = [Death("double", moment, nth=nth) for nth in (1, 2)]
        stage = Pipeline(range(10)).map(double, workers=2, retries=2, backoff=0, ordered=ordered).to(list)
        report = Simulation(deaths=deaths).run(stage)
        assert sorted(report.result) == [2 * item for item in range(10)]
        assert report.result == sorted(report.result) or not ordered

    def test_an_item_whose_worker_dies_on_it_has_failed(self) -> None:
        results = list(
            Simulation(deaths=[Death("double", "call", item=3)]).stream(
                Pipeline(range(5)).map(double, workers=2, ordered=True), outcomes=True
            )
        )
        assert [item for item in results if not isinstance(item, Failure)] == [0, 2, 4, 8]
        assert [item.kind for item in results if isinstance(item, Failure)] == ["WorkerLost"]

    def test_an_item_that_was_not_taken_has_not(self) -> None:
        simulation = Simulation(deaths=[Death("double", "take", nth=nth) for nth in range(1, 4)])
        report = simulation.run(Pipeline(range(5)).map(double, workers=1).to(list))
        assert sorted(report.result) == [0, 2, 4, 6, 8]
        assert report.retries == 0
        assert report.stages[1].deaths == 3

    def test_after_some_of_very_many_results(self) -> None:
        deaths = [Death("range", "part", nth=2)]
        results = list(
            Simulation(deaths=deaths, part_size=10).stream(
                Pipeline([100]).flat_map(range, workers=1, retries=3, backoff=0), outcomes=True
            )
        )
        values = [item for item in results if not isinstance(item, Failure)]
        # What was handed out cannot be taken back: the item is not tried again.
        assert values == list(range(len(values)))
        assert len(values) in (100, *range(1, 100))

    def test_the_exit_code_is_what_was_asked_for(self) -> None:
        simulation = Simulation(deaths=[Death("double", "call", exitcode=7)])
        with pytest.raises(WorkerLost, match="exited with status 7"):
            simulation.run(Pipeline(range(3)).map(double, workers=1).to(list))

    def test_threads_do_not_die(self) -> None:
        report = Simulation(deaths=1.0).run(Pipeline(range(5)).map(double, threads=2).to(list))
        assert sorted(report.result) == [0, 2, 4, 6, 8]


class TestTime:
    def test_hours_cost_nothing(self) -> None:
        begun = time.process_time()
        simulation = Simulation(delay=3600.0)
        report = simulation.run(Pipeline(range(4)).map(double, workers=2).to(list))
        assert sorted(report.result) == [0, 2, 4, 6]
        assert simulation.now >= 2 * 3600
        assert report.seconds >= 2 * 3600
        assert time.process_time() - begun < 30

    def test_a_time_limit(self) -> None:
        simulation = Simulation(delay=lambda stage, item: 10.0 if item == 2 else 0.1, late=0.0)
        with pytest.raises(ItemTimeout):
            simulation.run(Pipeline(range(4)).map(double, workers=2, timeout=1.0).to(list))
        assert simulation.now < 5

    def test_a_back_off(self) -> None:
        simulation = Simulation()
        stage = Pipeline([3]).map(fails_on_three, workers=1, retries=2, backoff=40.0)
        (failure,) = simulation.stream(stage, outcomes=True)
        assert isinstance(failure, Failure)
        assert failure.attempts == 3
        assert simulation.now >= 20 + 30  # doubled, a minute at most, and half of it at least

    def test_something_happens_at_a_chosen_time(self) -> None:
        def numbers() -> Iterator[int]:
            number = 0
            while True:
                yield number
                number += 1

        simulation = Simulation(source_pause=(0.5, 0.5), delay=0.01)
        simulation.at(5.0, simulation.drain)
        report = simulation.run(Pipeline(numbers).map(double, workers=1).to(list))
        assert report.result == [2 * number for number in range(len(report.result))]
        assert 5 <= len(report.result) <= 15


class TestAsAPipeline:
    def test_the_same_seed_has_the_same_run(self) -> None:
        def trace(seed: int) -> tuple[list[str], float]:
            simulation = Simulation(seed, deaths=0.05, trace=True)
            simulation.run(Pipeline(range(20)).map(double, workers=3, retries=30, backoff=0).to(list))
            return simulation.trace, simulation.now

        assert trace(7) == trace(7)
        assert trace(7) != trace(8)

    def test_each_process_has_its_own_functions(self) -> None:
        counter = Counter()
        report = Simulation().run(Pipeline(range(10)).map(counter, workers=2).to(list))
        assert counter.count == 0
        assert len(report.result) == 10

    def test_what_cannot_be_pickled_fails_as_between_processes(self) -> None:
        results = list(
            Simulation().stream(Pipeline([threading.Lock()]).map(double, workers=1), outcomes=True)
        )
        assert "cannot be pickled" in results[0].message

    def test_failures_dead_letters_and_limits(self) -> None:
        letters: list[Any] = []
        stage = Pipeline(range(5)).map(fails_on_three, workers=2, on_error="dead_letter").to(list)
        report = Simulation().run(stage, dead_letters=letters)
        assert sorted(report.result) == [0, 1, 2, 4]
        assert [letter.item for letter in letters] == [3]
        with pytest.raises(TooManyFailures):
            Simulation().run(stage, max_failures=0)

    def test_leaving_the_loop_leaves_no_worker(self) -> None:
        simulation = Simulation()
        results = simulation.stream(Pipeline(range(1000)).map(double, workers=2))
        next(results)
        results.close()  # type: ignore[attr-defined]
        simulation.check_end()

    def test_is_used_once(self) -> None:
        simulation = Simulation()
        simulation.run(Pipeline([1]).map(double, workers=1).to(list))
        with pytest.raises(RuntimeError, match="used once"):
            simulation.run(Pipeline([1]).map(double, workers=1).to(list))


def seconds_of_three_slow_after_many_quick(stage: str, item: int | None) -> float:
    if item is None:  # the start of a worker
        return 0.01
    return 10.0 if item >= 1000 else 1e-6


class TestHelp:
    @pytest.mark.parametrize("seed", range(20))
    def test_a_slow_item_after_many_quick_ones_has_a_worker_of_its_own(self, seed: int) -> None:
        """While items are quick, another worker is not worth its start; the slow ones are at the end of the source."""
        simulation = Simulation(
            seed, delay=seconds_of_three_slow_after_many_quick, late=0, interleave=0, reorder=0
        )
        report = simulation.run(Pipeline(range(1003)).map(int, workers=3).to(list))
        assert sorted(report.result) == list(range(1003))
        assert report.seconds < 11


class TestWhatItCannot:
    def test_coroutines(self) -> None:
        with pytest.raises(NotSupported, match="plain function"):
            Simulation().run(Pipeline([1]).map(later).to(list))

    def test_queues(self) -> None:
        queue: Queue[int] = Queue()
        with pytest.raises(NotSupported, match=r"Queue.*give a list or a generator"):
            Simulation().run(Pipeline(queue).map(double, workers=1).to(list))

    def test_a_function_that_cannot_be_copied(self) -> None:
        class Locked:
            def __init__(self) -> None:
                self.lock = threading.Lock()

            def __call__(self, item: int) -> int:
                return item

        with pytest.raises(NotSupported, match="cannot be copied"):
            Simulation().run(Pipeline([1]).map(Locked(), workers=1).to(list))


class TestItsOwnChecks:
    """That a scheduler which breaks a promise is noticed: more in test_mutations.py."""

    def test_a_wrong_count(self) -> None:
        simulation = Simulation()
        running = simulation.begin(Pipeline(range(5)).map(double, workers=1).to(list))
        running.engine.works[0].buffer.pending += 1
        with pytest.raises(Broken, match="and it counts"):
            list(simulation.events(running))

    def test_a_run_that_waits_for_nothing(self) -> None:
        simulation = Simulation()
        running = simulation.begin(Pipeline(range(5)).map(double, workers=1).to(list))
        running.engine.works[0].scale_up = lambda now: False  # type: ignore[method-assign]
        with pytest.raises(Stuck):
            list(simulation.events(running))
