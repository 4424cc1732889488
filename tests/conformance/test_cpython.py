"""CPython's own tests, with conveyor in the standard library's place, under every start method."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
from baseline import BASELINE, BETTER
from divergences import DIVERGENCES, Exemption
from outcomes import TARGET, Outcome
from suites import RUNS, Run

pytest.importorskip("test._test_multiprocessing", reason="this Python comes without its test suite")
pytestmark = [
    pytest.mark.timeout(600),  # the runs have limits of their own
    pytest.mark.leaves("the runs that later tests are about are going on already"),
]


def exempt(exemptions: tuple[Exemption, ...], run: Run, *, surely: bool = False) -> dict[str, str]:
    """The tests of a run that are expected to fail, and why; `surely`: only those that always do."""
    return {
        one.test.format(Method=run.method.capitalize()): one.reason
        for one in exemptions
        if run.method in one.methods
        and sys.version_info >= one.since
        and one.executor in (None, "own" if run.is_own_executor else "standard")
        and not (surely and one.sometimes)
    }


CLASSES = [pytest.param(run, name, id=f"{run}-{name}") for run in RUNS for name in run.classes]


@pytest.mark.parametrize(("run", "name"), CLASSES)
def test_class(run: Run, name: str, outcome_of: Callable[[Run], Outcome]) -> None:
    """All tests of the class pass, but those that are listed, which all fail."""
    outcome = outcome_of(run)
    tests = outcome.of_class(name)
    listed = DIVERGENCES if TARGET == "conveyor" else BASELINE
    uncounted = BASELINE if TARGET == "conveyor" else BETTER
    may_fail, must_fail = exempt(listed + uncounted, run), exempt(listed, run, surely=True)

    assert name not in outcome.missing, f"this version of CPython has no {name}"
    problems = [
        f"--- {test} failed\n{detail}"
        for test, (result, detail) in tests.items()
        if result == "failed" and test not in may_fail
    ]
    problems += [
        f"--- {test} passes, though listed: {must_fail[test]}"
        for test, (result, _) in tests.items()
        if result == "passed" and test in must_fail
    ]
    if outcome.unfinished and (not tests or outcome.unfinished.startswith(f"{name.partition('.')[0]}.")):
        problems.append(f"--- {run}: {outcome.ending} in {outcome.unfinished}\n{outcome.output}")
    assert not problems, "\n".join(problems)
    assert tests, f"no test of {name} ran\n{outcome.output}"
    if all(result == "skipped" for result, _ in tests.values()):
        pytest.skip("; ".join(sorted({detail for _, detail in tests.values()})))


@pytest.mark.parametrize("run", RUNS, ids=str)
def test_run_ends_clean(run: Run, outcome_of: Callable[[Run], Outcome]) -> None:
    """No process, thread or resource remains that CPython's suite would complain of."""
    outcome = outcome_of(run)
    assert outcome.unfinished is None, f"{outcome.ending} in {outcome.unfinished}\n{outcome.output}"
    assert outcome.ending == "exit code 0", outcome.output
    # A test that is exempt has not come to where it shuts its executor down.
    unfinished_tests = run.is_own_executor and any(result == "failed" for result, _ in outcome.tests.values())
    assert not outcome.environment_altered or unfinished_tests, outcome.output
    assert "leaked" not in outcome.output, outcome.output


@pytest.mark.skipif(TARGET != "conveyor", reason="for the baseline there is nothing to prove")
@pytest.mark.parametrize("run", RUNS, ids=str)
def test_run_reached_conveyor(run: Run, outcome_of: Callable[[Run], Outcome]) -> None:
    """Conveyor's classes were really built, and were in place in every process that the tests started."""
    outcome = outcome_of(run)
    events = outcome.events
    built = {what for (event, what, _), count in events.items() if event == "built" and count}
    assert built >= set(run.portion.builds), dict(events)
    assert events["started", "installed", True] == 1
    assert not any(what == "bare" for (_, what, _) in events), dict(events)
    children = sum(events[how, "installed", False] for how in ("forked", "started"))
    if run.portion.name not in ("logging", "queue"):  # all others start processes
        assert children > 0, dict(events)
    if run.method != "fork" and run.portion.name in ("queues", "pools", "executor", "executor-deadlock"):
        kind = "Queue" if run.portion.name == "pools" else "SimpleQueue"  # a pool's tasks are leased
        assert events["received", kind, False] > 0, dict(events)  # a forked child inherits it
