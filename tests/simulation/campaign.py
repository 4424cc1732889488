"""run_case: one run, and what must hold of it: at any time, and at its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

from call_log import Flaky, elements
from random_case import Case, make_case

from conveyor import ItemTimeout, TooManyFailures, WorkerLost
from conveyor.pipeline import CrashLoop, ItemFailed, ItemRetried, WorkerDied
from conveyor.pipeline.testing.broken import Broken

__all__ = ["Outcome", "run_case", "run_seed"]


class Outcome(Counter[str]):
    """How often what happened."""


def run_seed(seed: int, trace: bool = False, renews: bool = False) -> Outcome:
    """Run the case of a seed; raises `Broken` or `Stuck` if a promise was."""
    return run_case(make_case(seed, trace, renews))


def run_case(case: Case) -> Outcome:
    """Run a case; raises `Broken` or `Stuck` if a promise was."""
    outcome = Outcome(runs=1)
    stops = case.stops
    running = case.simulation.begin(case.pipeline, **case.options)
    error: BaseException | None = None
    tell = running.engine.tell

    def note(
        event: Any,
    ) -> None:  # before whoever iterates hears of it: what is done may be written before that
        _note(case, event, outcome)
        tell(event)

    running.engine.tell = note
    try:
        with closing(case.simulation.events(running)) as events:
            for count, _ in enumerate(events):
                if count == case.leaves_after:
                    break
    except (Flaky, ItemTimeout, WorkerLost, TooManyFailures, MemoryError) as raised:
        error = raised
        stops = True
    case.simulation.check_end()
    outcome["ended early"] = stops
    outcome["workers"] = case.simulation.workers_started
    outcome["steps"] = case.simulation.world.steps
    outcome["renewed"] = sum(node.pool.renewed for node in running.engine.works)
    if error is not None:
        _check_error(case, error, outcome)
    _check_results(case, stops)
    if not stops and case.store is not None and len(case.store.done()) < len(case.source):
        raise Broken(f"all was done, and what is kept of it is {case.store.done()}")
    return outcome


def _note(case: Case, event: Any, outcome: Outcome) -> None:
    outcome[type(event).__name__] += 1
    if isinstance(event, ItemFailed):
        failure = event.failure
        case.simulation.world.note(
            f"{failure.stage}: {failure.item} failed: {failure.kind}, {failure.attempts}"
        )
        for one in elements(failure.item):
            if case.failed[failure.stage, one]:
                raise Broken(f"{one} failed in {failure.stage} twice")
            case.failed[failure.stage, one] += 1
        _check_attempts(case, event)
    elif isinstance(event, ItemRetried):
        case.simulation.world.note(f"{event.failure.stage}: {event.failure.item} is tried again")
    elif isinstance(event, CrashLoop):
        raise Broken("there is no limit to the crashes of this run")
    elif isinstance(event, WorkerDied):
        case.simulation.world.note(f"{event.stage}: {event.pid} died on {event.item}")


def _check_attempts(case: Case, event: ItemFailed) -> None:
    failure = event.failure
    text = "+".join(elements(failure.item))
    for (name, called), calls in case.log.calls.items():
        is_same = (name, called) == (failure.stage, text) and failure.kind not in (
            "MemoryError",
            "WorkerLost",
        )
        if is_same and calls.count > failure.attempts:
            raise Broken(f"{text} was tried {calls.count} times in {name}, and not {failure.attempts}")


def _check_error(case: Case, error: BaseException, outcome: Outcome) -> None:
    stopped = [key for key, count in case.failed.items() if count and case.policy(key[0]) == "stop"]
    if isinstance(error, TooManyFailures):
        if "max_failures" not in case.options or sum(case.failed.values()) <= case.options["max_failures"]:
            raise Broken(f"{error}, and that is not so") from error
    elif not stopped and not (case.has_teardown and "teardown" in str(error)):
        raise Broken(f"the run ended by {error!r}, and no item failed that was to end it") from error


def _check_results(case: Case, stops: bool) -> None:
    got = case.texts()
    expected = [made for value in case.source for made in case.expected(value)]
    possible = [made for value in case.source for made in case.expected(value, lax=True)]
    surplus = Counter(got) - Counter(possible)
    if surplus:
        raise Broken(f"came out and should not have: {dict(surplus)}")
    missing = Counter(expected) - Counter(got)
    if missing and not stops:
        raise Broken(f"should have come out: {dict(missing)}")
    if case.ordered:
        if case.batched:
            got = [one for one in got if not one.startswith("!")]
        if not _is_part_of(got, possible):
            raise Broken(f"out of order: {got}, and in order it is {possible}")


def _is_part_of(some: Sequence[str], every: Sequence[str]) -> bool:
    rest: Iterator[str] = iter(every)
    return all(one in rest for one in some)
