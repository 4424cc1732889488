"""What the simulation found, each as a run that shows it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from conveyor import Failure, Pipeline, WorkerLost
from conveyor.testing import Death, Simulation


class Counts:
    """A function that counts its calls; all workers of a simulation have the same."""

    def __init__(self, fails: int = 0) -> None:
        self.fails = fails
        self.calls = 0

    def __deepcopy__(self, memo: Any) -> Counts:
        return self

    def __call__(self, item: Any) -> Any:
        self.calls += 1
        if self.calls <= self.fails:
            raise ValueError(item)
        return item


def same(item: int) -> int:
    return item


def slow_at_50(_stage: str, item: Any) -> float:
    return 5.0 if item == 50 else 0.0001


@pytest.mark.parametrize("workers", [1, 2])
def test_a_slow_item_does_not_keep_the_scheduler_busy(workers: int) -> None:
    simulation = Simulation(delay=slow_at_50, late=0.0)
    looks: list[float] = []
    simulation.world.checks.append(lambda: looks.append(simulation.now))
    report = simulation.run(Pipeline(range(200)).map(same, workers=workers).to(list))
    assert sorted(report.result) == list(range(200))
    assert simulation.now > 5
    # It looks for itself twice a second, and at results.
    assert sum(1 < time < 5 for time in looks) < 40


def test_what_waits_behind_a_slow_item_gets_a_worker_of_its_own() -> None:
    simulation = Simulation(delay=slow_at_50, late=0.0)
    done: dict[int, float] = {}
    pipeline = Pipeline(range(200)).map(same, workers=2)
    for item in simulation.stream(pipeline):
        done[item] = simulation.now
    assert max(time for item, time in done.items() if item != 50) < 2


@pytest.mark.parametrize("retries", [0, 1, 2, 3])
@pytest.mark.parametrize("fails", [0, 1, 2])
def test_a_keyed_item_is_not_tried_more_often_than_it_may_be(retries: int, fails: int) -> None:
    """Also when its worker dies between its attempts, each of which takes a while."""
    for seed in range(20):
        function = Counts(fails)
        stage = Pipeline([1]).map(function, workers=1, key=same, retries=retries, backoff=0.01)
        results = list(Simulation(seed, deaths=0.1).stream(stage, outcomes=True))
        assert len(results) == 1
        tried = results[0].attempts if isinstance(results[0], Failure) else 0
        assert tried <= retries + 1
        # The call that a dead worker made ahead of its time may be one more.
        assert function.calls <= 2 * (retries + 1)


def test_a_worker_does_not_try_an_item_again_whose_first_results_are_out() -> None:
    def letters(word: str) -> Iterator[str]:
        yield from word
        raise ValueError(word)

    word = "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz"
    stage = Pipeline([word]).flat_map(letters, workers=1, key=len, retries=3, backoff=0)
    *results, failure = Simulation(part_size=4).stream(stage, outcomes=True)
    assert isinstance(failure, Failure)
    assert failure.attempts == 1
    assert "".join(results) == word[: len(results)]


class Kept:
    """A store in memory."""

    def __init__(self) -> None:
        self.starts: list[int] = []
        self.ends: list[int] = []
        self.state: bytes | None = None

    def write(self, starts: list[int], ends: list[int], state: bytes | None, keys: object) -> None:
        self.starts, self.ends = list(starts), list(ends)

    def close(self) -> None:
        pass


def test_a_failure_that_comes_first_to_an_unbatch_is_dealt_with() -> None:
    simulation, store = Simulation(), Kept()
    stage = Pipeline([[0], [1], [2]]).map(Counts(fails=1), workers=1, on_error="yield").unbatch().to(list)
    for _ in simulation.events(simulation.begin(stage, store=store)):
        pass
    assert (store.starts, store.ends) == ([0], [3])


def test_a_death_in_a_teardown_that_does_nothing_is_no_error() -> None:
    simulation = Simulation(deaths=[Death("same", "teardown")])
    assert simulation.run(Pipeline([1, 2]).map(same, workers=1).to(list)).result == [1, 2]


def test_a_death_in_a_teardown_is_an_error() -> None:
    class Closing:
        def __call__(self, item: int) -> int:
            return item

        def teardown(self) -> None:
            pass

    simulation = Simulation(deaths=[Death("Closing", "teardown")])
    with pytest.raises(WorkerLost, match="in its teardown"):
        simulation.run(Pipeline([1, 2]).map(Closing, workers=1).to(list))
