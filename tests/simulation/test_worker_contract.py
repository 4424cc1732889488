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
    bench.until(lambda: bench.handle.ready)
    assert bench.handle.credit >= 1
    assert not bench.handle.gone()


def test_results_come_in_the_order_of_the_items(bench: Bench) -> None:
    bench.give(*ITEMS)
    assert bench.handle.outstanding == len(ITEMS)
    bench.until(lambda: not bench.handle.outstanding)
    assert bench.out == [10 * item for item in ITEMS]
    assert bench.handle.finished == len(ITEMS)
    bench.until(
        lambda: bench.handle.status_page.items == len(ITEMS)
    )  # it notes an item when its result is out


def test_items_may_be_given_before_it_is_there(bench: Bench) -> None:
    for item in ITEMS:
        bench.give(item)
    bench.until(lambda: len(bench.out) == len(ITEMS))
    assert bench.out == [10 * item for item in ITEMS]


def test_an_item_that_fails_fails_alone(bench: Bench) -> None:
    bench.give(1, BAD, 2)
    bench.until(lambda: not bench.handle.outstanding)
    assert bench.out == [10, 20]
    (failure,) = bench.failures
    assert (failure.item, failure.number, failure.kind, failure.attempts) == (BAD, 1, "ValueError", 1)


def test_what_it_has_not_begun_comes_back_and_nothing_else(bench: Bench) -> None:
    bench.give(1, 2, ENDLESS, *ITEMS)
    bench.until(lambda: bench.out == [10, 20] and bench.handle.status_page.since)
    back = bench.handle.take_back()
    taken = [item for run in back for item in run.items]
    # A coroutine or a process may not have taken the endless one yet.
    assert taken in (ITEMS, [ENDLESS, *ITEMS])
    assert bench.handle.outstanding == len(ITEMS) + 1 - len(taken)
    assert bench.handle.take_back() == []


def test_what_was_taken_back_may_be_given_again(bench: Bench) -> None:
    bench.give(*ITEMS)
    back = bench.handle.take_back()
    for run in back:
        bench.handle.give(run)
    bench.until(lambda: not bench.handle.outstanding)
    assert bench.out == [10 * item for item in ITEMS]


def test_told_to_leave_it_does_what_it_has_and_says_a_last_word(bench: Bench) -> None:
    bench.give(*ITEMS)
    bench.handle.shut_down()
    bench.until(lambda: bench.handle.left_at)
    assert bench.out == [10 * item for item in ITEMS]
    bench.until(bench.handle.gone)
    assert bench.handle.exitcode == 0


def test_killed_at_an_item_it_leaves_all_in_its_place(bench: Bench) -> None:
    """What was done, the item that it was at, and what it had not begun, are all that it was given."""
    bench.give(1, 2, ENDLESS, *ITEMS)
    bench.until(lambda: bench.out == [10, 20] and bench.handle.status_page.since)
    bench.handle.kill()
    bench.until(bench.handle.gone)
    left = bench.handle.settle()
    if left.culprit is None:  # it had not taken it yet
        assert [item for chunk in left.not_begun for item in chunk.items] == [ENDLESS, *ITEMS]
        return
    assert left.culprit == (2, ENDLESS)
    back = bench.handle.lose(left, WorkerLost("it is gone", 0, -9), "", 0)
    assert [item for chunk in back for item in chunk.items] == ITEMS
    assert bench.handle.outstanding == 0
    assert [failure.item for failure in bench.failures] == [ENDLESS]


def test_it_may_be_killed_before_it_is_there(bench: Bench) -> None:
    bench.give(*ITEMS)
    bench.handle.kill()
    bench.until(bench.handle.gone)


@pytest.mark.parametrize("seed", range(50))
def test_a_simulated_worker_does_the_same_by_any_seed(seed: int) -> None:
    bench = Bench("simulated process", seed)
    bench.give(*ITEMS)
    bench.until(lambda: len(bench.out) > seed % 7)
    back = [item for run in bench.handle.take_back() for item in run.items]
    bench.until(lambda: not bench.handle.outstanding)
    assert bench.out + [10 * item for item in back] == [10 * item for item in ITEMS]
    bench.close()
