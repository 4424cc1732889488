"""Random pipelines in a simulated world: ten thousand seeds, and those that once failed."""

from __future__ import annotations

import os

import pytest
from campaign import Outcome, run_case, run_seed
from random_case import make_case

_SEEDS = int(os.environ.get("CONVEYOR_SEEDS", "10000"))
_AT_A_TIME = 500

# Seeds that failed, and what they found. What was repaired has a test of its own in test_found.py.
SEEDS: dict[int, str] = {}


@pytest.mark.parametrize("first", range(0, _SEEDS, _AT_A_TIME))
@pytest.mark.timeout(600)
def test_seeds(first: int) -> None:
    total = Outcome()
    for seed in range(first, first + _AT_A_TIME):
        try:
            total += run_seed(seed)
        except Exception as error:
            error.add_note(
                f"seed {seed}: python tests/simulation/simulate.py --seeds 1 --from {seed} --trace"
            )
            raise
    # What is not reached proves nothing.
    for what in ("ItemFailed", "ItemRetried", "WorkerDied", "ended early"):
        assert total[what] > _AT_A_TIME // 20, f"{what} happens too seldom: {total}"


@pytest.mark.parametrize("first", range(0, max(_SEEDS // 5, _AT_A_TIME), _AT_A_TIME))
@pytest.mark.timeout(600)
def test_seeds_with_workers_that_are_renewed(first: int) -> None:
    total = Outcome()
    for seed in range(first, first + _AT_A_TIME):
        try:
            total += run_seed(seed, renews=True)
        except Exception as error:
            error.add_note(
                f"seed {seed}: python tests/simulation/simulate.py --seeds 1 --from {seed} --trace --renews"
            )
            raise
    for what in ("ItemFailed", "ItemRetried", "WorkerDied", "renewed"):
        assert total[what] > _AT_A_TIME // 20, f"{what} happens too seldom: {total}"


if SEEDS:  # pytest skips a test that has no cases

    @pytest.mark.parametrize("seed", SEEDS)
    def test_a_seed_that_once_failed(seed: int) -> None:
        run_seed(seed)


def test_a_seed_has_one_run() -> None:
    for seed in range(30):
        first, second = make_case(seed, trace=True), make_case(seed, trace=True)
        assert run_case(first) == run_case(second)
        assert first.simulation.trace == second.simulation.trace
        assert first.texts() == second.texts()
