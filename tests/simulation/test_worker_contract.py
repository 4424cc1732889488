"""What the scheduler may rely on with any worker: a process, a thread, a coroutine, and those that are simulated."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from contract import BAD, ENDLESS, KINDS, Bench

from conveyor import WorkerLost

ITEMS = list(range(40))


@pytest.fixture(params=KINDS)
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    made = Bench(request.param)
    yield made
    made.close()
    assert not made.errors


def test_it_says_that_it_is_there_and_wants_items(bench: Bench) -> None:
    bench.until(lambda: bench.hand.ready)
    assert bench.hand.appetite >= 1
    assert not bench.hand.gone()


def test_results_come_in_the_order_of_the_items(bench: Bench) -> None:
    bench.give(*ITEMS)
    assert bench.hand.outstanding == len(ITEMS)
    bench.until(lambda: not bench.hand.outstanding)
    assert bench.out == [10 * item for item in ITEMS]
    assert bench.hand.finished == len(ITEMS)
    bench.until(lambda: bench.hand.slate.items == len(ITEMS))  # it notes an item when its result is out


def test_items_may_be_given_before_it_is_there(bench: Bench) -> None:
    for item in ITEMS:
        bench.give(item)
    bench.until(lambda: len(bench.out) == len(ITEMS))
    assert bench.out == [10 * item for item in ITEMS]


def test_an_item_that_fails_fails_alone(bench: Bench) -> None:
    bench.give(1, BAD, 2)
    bench.until(lambda: not bench.hand.outstanding)
    assert bench.out == [10, 20]
    (failure,) = bench.failures
    assert (failure.item, failure.number, failure.kind, failure.attempts) == (BAD, 1, "ValueError", 1)


def test_what_it_has_not_begun_comes_back_and_nothing_else(bench: Bench) -> None:
    bench.give(1, 2, ENDLESS, *ITEMS)
    bench.until(lambda: bench.out == [10, 20] and bench.hand.slate.since)
    back = bench.hand.take_back()
    taken = [item for run in back for item in run.items]
    # A coroutine or a process may not have taken the endless one yet.
    assert taken in (ITEMS, [ENDLESS, *ITEMS])
    assert bench.hand.outstanding == len(ITEMS) + 1 - len(taken)
    assert bench.hand.take_back() == []


def test_what_was_taken_back_may_be_given_again(bench: Bench) -> None:
    bench.give(*ITEMS)
    back = bench.hand.take_back()
    for run in back:
        bench.hand.give(run)
    bench.until(lambda: not bench.hand.outstanding)
    assert bench.out == [10 * item for item in ITEMS]


def test_told_to_leave_it_does_what_it_has_and_says_a_last_word(bench: Bench) -> None:
    bench.give(*ITEMS)
    bench.hand.dismiss()
    bench.until(lambda: bench.hand.left_at)
    assert bench.out == [10 * item for item in ITEMS]
    bench.until(bench.hand.gone)
    assert bench.hand.exitcode == 0


def test_killed_at_an_item_it_leaves_all_in_its_place(bench: Bench) -> None:
    """What was done, the item that it was at, and what it had not begun, are all that it was given."""
    bench.give(1, 2, ENDLESS, *ITEMS)
    bench.until(lambda: bench.out == [10, 20] and bench.hand.slate.since)
    bench.hand.kill()
    bench.until(bench.hand.gone)
    back = bench.hand.take_back()
    culprit = bench.hand.culprit()
    if culprit is None:  # it had not taken it yet
        assert [item for run in back for item in run.items] == [ENDLESS, *ITEMS]
        return
    assert culprit == (2, ENDLESS)
    back = bench.hand.bury(WorkerLost("it is gone", 0, -9), "", 0, 1) + back
    assert [item for run in back for item in run.items] == ITEMS
    assert bench.hand.outstanding == 0
    assert [failure.item for failure in bench.failures] == [ENDLESS]


def test_it_may_be_killed_before_it_is_there(bench: Bench) -> None:
    bench.give(*ITEMS)
    bench.hand.kill()
    bench.until(bench.hand.gone)


@pytest.mark.parametrize("seed", range(50))
def test_a_simulated_worker_does_the_same_by_any_seed(seed: int) -> None:
    bench = Bench("simulated process", seed)
    bench.give(*ITEMS)
    bench.until(lambda: len(bench.out) > seed % 7)
    back = [item for run in bench.hand.take_back() for item in run.items]
    bench.until(lambda: not bench.hand.outstanding)
    assert bench.out + [10 * item for item in back] == [10 * item for item in ITEMS]
    bench.close()
