"""Executors and `Workers` are seen by other processes: in `conveyor top`, `ls` and the metrics, idle ones too."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from called import begun, die, fail, gone, mark_and_wait, process_id, same
from waiting import wait_until

from conveyor import ProcessPoolExecutor, Workers
from conveyor.inspection.executor_view import ExecutorView
from conveyor.inspection.pipeline_view import PipelineView
from conveyor.inspection.pipelines import pipelines

METHODS: list[Any] = ["fork", "spawn", "forkserver"]


def mine(kind: str = "executor") -> list[PipelineView]:
    return [view for view in pipelines() if view.pid == os.getpid() and view.kind == kind]


def figures_when(condition: Callable[[ExecutorView], object], kind: str = "executor") -> ExecutorView:
    """What is seen of the only one there is, when that is true."""
    found: list[ExecutorView] = []

    def look() -> bool:
        found[:] = [each for each in map(ExecutorView.of, mine(kind)) if condition(each)]
        return bool(found)

    wait_until(look)
    [each] = found
    return each


def said(*words: str) -> str:
    return subprocess.check_output([sys.executable, "-m", "conveyor", *words], text=True, timeout=60)


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@contextmanager
def waiting_calls(executor: ProcessPoolExecutor, folder: Path, count: int) -> Iterator[list[Any]]:
    """Calls that do not end before the block does."""
    marks = [folder / f"mark {number}" for number in range(count)]
    calls = [executor.submit(mark_and_wait, str(mark)) for mark in marks]
    try:
        yield marks
    finally:
        for call in reversed(calls):
            call.cancel()


class TestExecutors:
    @pytest.mark.parametrize("method", METHODS)
    def test_pending_running_done_and_failed(self, method: str, tmp_path: Path) -> None:
        with ProcessPoolExecutor(2, method, name="thumbnails") as executor:
            assert list(executor.map(same, range(20))) == list(range(20))
            for _ in range(3):
                with pytest.raises(ValueError, match="not this one"):
                    executor.submit(fail, "not this one").result(60)
            with waiting_calls(executor, tmp_path, 7) as marks:
                begun(marks[0])
                seen = figures_when(lambda each: each.running == 2)
                assert (seen.name, seen.kind, seen.phase) == ("thumbnails", "executor", "running")
                assert (seen.pending, seen.done, seen.failed, seen.restarts) == (5, 20, 3, 0)
                assert (seen.workers, seen.most_workers) == (2, 2)
                assert seen.rss is not None
                assert seen.rss > 1 << 20
                assert seen.load > 0
            [view] = mine()
            assert {worker.pid for worker in view.workers} >= set(executor._processes)
            [group] = [each for each in view.failure_groups if each.kind == "ValueError"]
            assert (group.count, group.item) == (3, "('not this one',)")
        assert mine() == []

    def test_an_idle_one_and_a_worker_that_died_in_it(self) -> None:
        with ProcessPoolExecutor(1) as executor:
            pid = executor.submit(process_id).result(60)
            seen = figures_when(lambda each: each.phase == "idle")
            assert (seen.pending, seen.running, seen.done, seen.workers) == (0, 0, 1, 1)
            os.kill(pid, signal.SIGKILL)
            assert gone(pid)
            assert figures_when(lambda each: each.restarts == 1).workers == 0
            assert executor.submit(same, 1).result(60) == 1
            assert figures_when(lambda each: each.done == 2).failed == 0

    def test_an_idle_one_is_not_late_and_has_no_rate(self) -> None:
        with ProcessPoolExecutor(1) as executor:
            executor.submit(same, 1).result(60)
            wait_until(lambda: mine() and mine()[0].phase == "idle")
            wait_until(lambda: mine()[0].age > 5.1)
            [view] = mine()
            assert not view.is_late
            assert view.seconds > 5
            assert all(stage.rate == stage.load == 0 for stage in view.stages)

    def test_a_lost_worker_is_a_failure_and_a_restart(self) -> None:
        with ProcessPoolExecutor(1) as executor:
            assert executor.submit(die).exception(60) is not None
            assert executor.submit(same, 1).result(60) == 1
            seen = figures_when(lambda each: each.done == 1)
            assert (seen.failed, seen.restarts) == (1, 1)

    def test_retries_are_counted(self) -> None:
        with ProcessPoolExecutor(1, retries=2) as executor:
            assert executor.submit(fail, "again").exception(60) is not None
            seen = figures_when(lambda each: each.failed == 1)
            assert (seen.retries, seen.done) == (2, 0)

    def test_without_a_name_it_is_called_by_its_line(self) -> None:
        with ProcessPoolExecutor(1) as executor:
            executor.submit(same, 1).result(60)
            assert figures_when(lambda each: each).name.startswith("pipeline/test_executors_seen.py:")

    def test_what_is_no_name(self) -> None:
        for name in ("", 7):
            with pytest.raises(TypeError, match="it must be a text that is not empty"):
                ProcessPoolExecutor(1, name=name)  # type: ignore[arg-type]

    def test_many_short_ones_leave_no_descriptor(self) -> None:
        with ProcessPoolExecutor(1) as executor:
            executor.submit(same, 1).result(60)
        before = open_files()
        for _ in range(5):
            with ProcessPoolExecutor(1) as executor:
                executor.submit(same, 1).result(60)
                figures_when(lambda each: each.done == 1)
        assert open_files() == before


class TestCommands:
    def test_top_ls_and_metrics(self, tmp_path: Path) -> None:
        with (
            ProcessPoolExecutor(1, name="shown to all") as executor,
            waiting_calls(executor, tmp_path, 3) as marks,
        ):
            pid = begun(marks[0])
            figures_when(lambda each: each.running == 1)
            [seen] = json.loads(said("top", "--once", "--json"))["executors"]
            assert (seen["name"], seen["kind"], seen["pid"]) == ("shown to all", "executor", os.getpid())
            assert (seen["pending"], seen["running"], seen["done"], seen["failed"]) == (2, 1, 0, 0)
            assert (seen["workers"], seen["restarts"]) == (1, 0)
            assert seen["cpu"] >= 0
            [worker] = seen["worker_processes"]
            assert (worker["pid"], worker["state"]) == (pid, "busy")
            assert worker["rss"] > 0

            table = said("top", "--once")
            assert "EXECUTORS" in table
            [line] = [each for each in table.splitlines() if each.startswith("shown to all")]
            assert line.split()[3:7] == ["2", "1", "0", "0"]

            [row] = [
                row for row in map(json.loads, said("ls", "--json").splitlines()) if row["kind"] == "executor"
            ]
            assert (row["title"], row["items"], row["state"]) == ("shown to all", 3, "running")
            assert row["users"] == [os.getpid(), pid]
            assert 'conveyor_stage_workers{pipeline="shown to all"' in said("metrics")


class TestWorkers:
    @pytest.mark.parametrize("method", METHODS)
    def test_idle_and_lost_ones(self, method: Any) -> None:
        with Workers(2, start_method=method, name="kept") as workers:
            assert mine("workers") == []  # no process yet
            assert workers.map(same, range(4)) == [0, 1, 2, 3]
            seen = figures_when(lambda each: each, "workers")
            assert (seen.name, seen.phase, seen.restarts) == ("kept", "idle", 0)
            [view] = mine("workers")
            assert {worker.pid for worker in view.workers} == set(workers.pids())
            assert seen.rss is not None
            victim = workers.pids()[0]
            os.kill(victim, signal.SIGKILL)
            assert gone(victim)
            assert figures_when(lambda each: each, "workers").workers == len(view.workers) - 1
            assert workers.map(same, [5]) == [5]
            assert figures_when(lambda each: each, "workers").restarts == 1
        assert mine("workers") == []

    def test_those_that_a_run_has_are_busy(self, tmp_path: Path) -> None:
        with Workers(1, name="kept") as workers:
            results = workers.imap(wait_for, [str(tmp_path / "gate")])
            taken: list[Any] = []
            thread = threading.Thread(target=lambda: taken.extend(results))
            thread.start()
            try:
                seen = figures_when(lambda each: each.running == 1, "workers")
                assert (seen.phase, seen.workers) == ("running", 1)
                [view] = mine("workers")
                assert view.workers[0].item_seconds is not None
            finally:
                (tmp_path / "gate").touch()
                thread.join()
            assert taken == ["through"]
            assert figures_when(lambda each: each.running == 0, "workers").phase == "idle"

    def test_a_child_of_a_fork_has_its_own(self) -> None:
        with Workers(1, name="of the parent") as workers:
            assert workers.map(same, [1]) == [1]
            if (child := os.fork()) == 0:
                status = 1
                try:
                    alone = mine("workers") == []
                    workers.map(same, [1])
                    status = 0 if alone and len(mine("workers")) == 1 else 2
                finally:
                    os._exit(status)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            assert len(mine("workers")) == 1


def wait_for(gate: str) -> str:
    until = time.monotonic() + 60
    while not Path(gate).exists():
        assert time.monotonic() < until
        time.sleep(0.01)
    return "through"
