"""ProcessPoolExecutor: workers that die, calls that are cancelled, take too long or are tried again, and renewal."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import CancelledError
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import pytest
from called import begun, die, die_once, fail, fail_once, gone, mark_and_wait, process_id, same
from waiting import wait_until

from conveyor import ItemTimeout, ProcessPoolExecutor, WorkerLost

METHODS = ["fork", "spawn", "forkserver"]


@pytest.fixture(params=METHODS)
def by_method(request: pytest.FixtureRequest) -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(2, request.param) as made:
        yield made


@pytest.fixture
def executor() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(2) as made:
        yield made


class TestDeaths:
    def test_a_death_costs_the_call_that_it_was_at(self, by_method: ProcessPoolExecutor) -> None:
        futures = [by_method.submit(die if number == 50 else same, number) for number in range(100)]
        with pytest.raises(WorkerLost, match="killed by SIGKILL") as raised:
            futures[50].result(60)
        assert isinstance(
            raised.value, BrokenProcessPool
        )  # what is written for the standard library catches it
        assert raised.value.exitcode == -signal.SIGKILL
        assert [future.result(60) for future in futures if future is not futures[50]] == [
            number for number in range(100) if number != 50
        ]
        assert by_method.submit(same, "goes on").result(60) == "goes on"

    def test_in_a_map_it_comes_in_its_turn(self, executor: ProcessPoolExecutor) -> None:
        results = executor.map(die_on_seven, range(20))
        assert [next(results) for _ in range(7)] == list(range(7))
        with pytest.raises(WorkerLost):
            next(results)

    def test_very_many_deaths_do_not_break_it(self, executor: ProcessPoolExecutor) -> None:
        futures = [executor.submit(die) for _ in range(40)]
        assert {type(future.exception(60)).__name__ for future in futures} == {"TaskWorkerLost"}
        assert executor.submit(same, 1).result(60) == 1

    def test_a_worker_that_is_killed_while_idle_costs_nothing(self, executor: ProcessPoolExecutor) -> None:
        for _ in range(5):
            pid = executor.submit(process_id).result(60)
            os.kill(pid, signal.SIGKILL)
            assert gone(pid)
        assert executor.submit(same, 1).result(60) == 1

    def test_exits_of_functions_are_their_exceptions(self, executor: ProcessPoolExecutor) -> None:
        with pytest.raises(SystemExit):
            executor.submit(exit_by_exception).result(60)
        with pytest.raises(WorkerLost, match="status 3"):
            executor.submit(os._exit, 3).result(60)


def die_on_seven(number: int) -> int:
    if number == 7:
        die()
    return number


def exit_by_exception() -> None:
    raise SystemExit(3)


class TestRetries:
    def test_what_lost_its_worker_is_tried_again_if_asked_for(self, by_method: Any, tmp_path: Path) -> None:
        assert by_method.options(retries=1).submit(die_once, str(tmp_path / "mark")).result(60) == "second"

    def test_what_raised_is_tried_again_too(self, executor: ProcessPoolExecutor, tmp_path: Path) -> None:
        assert executor.options(retries=1).submit(fail_once, str(tmp_path / "mark")).result(60) == "second"

    def test_no_more_often_than_that(self, executor: ProcessPoolExecutor) -> None:
        failed = executor.options(retries=3, backoff=0.001).submit(fail, "always")
        with pytest.raises(ValueError, match="always") as raised:
            failed.result(60)
        assert raised.value.__notes__ == ["tried 4 times"]

    def test_in_a_map_order_is_kept(self, tmp_path: Path) -> None:
        with ProcessPoolExecutor(2, retries=2) as executor:
            marks = [str(tmp_path / str(number)) for number in range(6)]
            assert list(executor.map(die_once, marks)) == ["second"] * 6


class TestTimeLimits:
    def test_a_call_that_takes_too_long_is_ended(self, by_method: Any, tmp_path: Path) -> None:
        limited = by_method.options(timeout=0.3)
        slow = limited.submit(mark_and_wait, str(tmp_path / "mark"))
        quick = [limited.submit(same, number) for number in range(50)]
        with pytest.raises(ItemTimeout, match=r"longer than 0\.3 s"):
            slow.result(60)
        assert [future.result(60) for future in quick] == list(range(50))
        if (tmp_path / "mark").exists():
            assert gone(begun(tmp_path / "mark"))

    def test_the_time_that_a_call_waits_does_not_count(self) -> None:
        with ProcessPoolExecutor(1, timeout=1.0) as executor:
            futures = [executor.submit(time.sleep, 0.3) for _ in range(6)]
            assert [future.exception(60) for future in futures] == [None] * 6

    def test_limits_are_those_of_the_call(self, executor: ProcessPoolExecutor) -> None:
        short = executor.options(timeout=0.1)
        long = executor.options(timeout=60)
        unlimited = [executor.submit(time.sleep, 0.3) for _ in range(2)]
        limited = [short.submit(time.sleep, 30), long.submit(time.sleep, 0.3)]
        assert [future.exception(60) for future in unlimited] == [None, None]
        assert isinstance(limited[0].exception(60), ItemTimeout)
        assert limited[1].exception(60) is None

    def test_in_a_map(self, executor: ProcessPoolExecutor) -> None:
        results = executor.options(timeout=0.2).map(time.sleep, [0, 30, 0])
        assert next(results) is None
        with pytest.raises(ItemTimeout):
            next(results)


class TestCancelling:
    def test_a_running_call_is_ended_with_its_worker(self, by_method: Any, tmp_path: Path) -> None:
        future = by_method.submit(mark_and_wait, str(tmp_path / "mark"))
        pid = begun(tmp_path / "mark")
        assert future.running()
        assert future.cancel()
        assert future.cancelled()
        with pytest.raises(CancelledError):
            future.result()
        assert gone(pid)
        assert by_method.submit(same, 1).result(60) == 1

    def test_no_other_call_is_concerned(self, tmp_path: Path) -> None:
        with ProcessPoolExecutor(1) as executor:
            list(executor.map(same, range(1000)))  # so quick that many are given to the worker in advance
            running = executor.submit(mark_and_wait, str(tmp_path / "mark"))
            behind = [executor.submit(same, number) for number in range(100)]
            begun(tmp_path / "mark")
            assert running.cancel()
            assert [future.result(60) for future in behind] == list(range(100))

    def test_one_that_waits_at_a_busy_worker_is_not_made(self, tmp_path: Path) -> None:
        with ProcessPoolExecutor(1) as executor:
            list(executor.map(same, range(1000)))
            running = executor.submit(mark_and_wait, str(tmp_path / "first"))
            behind = executor.submit(mark_and_wait, str(tmp_path / "second"))
            last = executor.submit(same, "last")
            pid = begun(tmp_path / "first")
            assert behind.cancel()
            assert not gone(pid, 0.2)  # the call before it is not concerned
            assert running.cancel()
            assert last.result(60) == "last"
            assert not (tmp_path / "second").exists()

    def test_one_that_is_done_stays_so(self, executor: ProcessPoolExecutor) -> None:
        future = executor.submit(same, 1)
        assert future.result(60) == 1
        assert not future.cancel()
        assert future.result() == 1

    def test_thousands_at_a_time(self, executor: ProcessPoolExecutor) -> None:
        futures = [executor.submit(same, number) for number in range(3000)]
        cancelled = [future.cancel() for future in futures]
        for number, (future, was) in enumerate(zip(futures, cancelled, strict=True)):
            assert future.cancelled() == was
            if not was:
                assert future.result(60) == number
        assert executor.submit(same, 1).result(60) == 1


class TestRenewal:
    def test_fork_is_refused_and_the_default_is_spawn(self) -> None:
        with pytest.raises(ValueError, match="mp_context is fork"):
            ProcessPoolExecutor(2, "fork", max_tasks_per_child=5)
        with ProcessPoolExecutor(2, max_tasks_per_child=5) as executor:
            assert executor._mp_context.get_start_method() == "spawn"

    @pytest.mark.parametrize("method", ["spawn", "forkserver"])
    def test_each_worker_makes_so_many_calls(self, method: str) -> None:
        with ProcessPoolExecutor(2, method, max_tasks_per_child=5) as executor:
            made = Counter(executor.map(process_id, range(32)))
        assert sum(made.values()) == 32
        assert max(made.values()) <= 5
        assert len(made) >= 7

    def test_one_after_the_other(self) -> None:
        with ProcessPoolExecutor(1, max_tasks_per_child=3) as executor:
            pids = [executor.submit(process_id).result(60) for _ in range(6)]
        assert len(set(pids[:3])) == len(set(pids[3:])) == 1
        assert pids[0] != pids[3]


class TestWhatWasTaken:
    def test_calls_that_travelled_together_are_ended_by_cancelling_them(
        self, executor: ProcessPoolExecutor
    ) -> None:
        for _ in range(5):
            assert list(executor.map(same, range(200))) == list(range(200))  # so several go at a time
            sleeping = [executor.submit(time.sleep, 60) for _ in range(10)]
            wait_until(sleeping[0].running)
            for future in reversed(sleeping):
                assert future.cancel()
            assert executor.submit(same, 1).result(30) == 1
