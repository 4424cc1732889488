"""That the simulation can fail: each mutation of the scheduler is noticed within a few hundred seeds."""

from __future__ import annotations

import pytest
from campaign import run_seed
from mutations import MUTATIONS, Mutation

_MOST_SEEDS = 3000


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.what)
@pytest.mark.timeout(600)
def test_is_noticed(mutation: Mutation) -> None:
    with mutation.applied():
        for seed in range(mutation.first, mutation.first + _MOST_SEEDS):
            try:
                run_seed(seed)
            except Exception:
                return
    pytest.fail(f"{mutation.what}, and {_MOST_SEEDS} seeds have not noticed it")
