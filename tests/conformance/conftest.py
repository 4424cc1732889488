"""Fixtures of the conformance suite."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from outcomes import Outcome, Runner
from suites import Run


@pytest.fixture(scope="session")
def outcome_of(request: pytest.FixtureRequest) -> Iterator[Callable[[Run], Outcome]]:
    """Gives the outcome of a run. All runs that the selected tests need are started at the first use."""
    wanted: dict[Run, None] = {}
    for item in request.session.items:
        run = getattr(item, "callspec", None) and item.callspec.params.get("run")
        if isinstance(run, Run):
            wanted.setdefault(run)
    runner = Runner(list(wanted))
    yield runner.outcome
    runner.close()
