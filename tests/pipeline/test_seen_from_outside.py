"""A running pipeline is seen by other processes: its stages, workers and failures, while it lasts and no longer."""

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
import seen
from stages import same
from waiting import wait_until

from conveyor import Pipeline
from conveyor.inspection.pipeline_view import PipelineView
from conveyor.inspection.pipelines import pipelines
from conveyor.inspection.watch import Watch

METHODS: list[Any] = ["fork", "spawn", "forkserver"]


class Run:
    """A run in another process; see `seen.py`."""

    def __init__(self, which: str, gate: Path, method: str) -> None:
        self.gate = gate
        self.process = subprocess.Popen([sys.executable, seen.__file__, which, gate, method])

    def views(self) -> list[PipelineView]:
        return [view for view in pipelines() if view.pid == self.process.pid]

    def view_when(self, condition: Callable[[PipelineView], object]) -> PipelineView:
        """What is seen of it when that is true."""
        found: list[PipelineView] = []

        def look() -> bool:
            assert self.process.poll() is None, "it has ended"
            found[:] = [view for view in self.views() if condition(view)]
            return bool(found)

        wait_until(look, seen.GUARD_SECONDS - 10)
        return found[0]

    def finish(self) -> None:
        self.gate.touch()
        assert self.process.wait(seen.GUARD_SECONDS) == 0


@contextmanager
def running(which: str, folder: Path, method: str = "fork") -> Iterator[Run]:
    run = Run(which, folder / "gate", method)
    try:
        yield run
    finally:
        run.gate.touch()
        run.process.kill()
        run.process.wait()


def long_busy(view: PipelineView) -> set[str]:
    """The stages that have a worker which has been at its item for most of the time since the snapshot before."""
    return {worker.stage for worker in view.workers if worker.item_seconds and worker.history.endswith("b")}


@pytest.mark.parametrize("method", METHODS)
def test_processes_threads_and_coroutines(method: str, tmp_path: Path) -> None:
    before = time.time()
    with running("mixed", tmp_path, method) as run:
        names = ["in a process", "in a thread", "in a loop"]
        view = run.view_when(lambda view: long_busy(view).issuperset(names))
        assert (view.name, view.phase, view.total, view.failures) == ("mixed", "running", 9, 0)
        assert before <= view.started <= time.time()
        assert 0 < view.seconds < time.time() - before
        assert view.taken >= 3
        assert view.in_flight >= 3
        assert [stage.name for stage in view.stages] == ["source", *names, "to list"]
        kinds = ["engine", "processes", "threads", "coroutines", "engine"]
        assert [stage.kind for stage in view.stages] == kinds
        assert [stage.feeds for stage in view.stages] == [(1,), (2,), (3,), (4,), ()]
        for worker in view.workers:
            stage = view.stages[worker.stage_number]
            assert stage.name == worker.stage
            assert (worker.pid > 0) == (stage.kind == "processes")
            assert (worker.rss is not None) == (stage.kind == "processes")
            if worker.item_seconds is not None:
                assert (worker.state, worker.attempt) == ("busy", 1)
                assert worker.item_seconds >= 0
        assert view.rss
        assert view.rss > 2**20
        later = run.view_when(lambda later: later.at > view.at)
        assert (later.id, later.started) == (view.id, view.started)
        assert later.seconds > view.seconds
        run.finish()
        assert run.views() == []


def test_one_that_was_killed_is_seen_no_more(tmp_path: Path) -> None:
    with running("mixed", tmp_path) as run:
        view = run.view_when(bool)
        run.process.kill()
        run.process.wait()
        assert view.id not in {view.id for view in pipelines()}


def test_failures_are_grouped_and_deaths_told(tmp_path: Path) -> None:
    with running("unlucky", tmp_path) as run:
        view = run.view_when(lambda view: view.failures == 15 and view.in_flight == 1)
        assert (view.name, view.results) == (view.place, 15)
        assert view.place.startswith("pipeline/seen.py:")
        groups = {group.kind: group for group in view.failure_groups}
        assert {kind: group.count for kind, group in groups.items()} == {
            "ValueError": 8,
            "LookupError": 6,
            "WorkerLost": 1,
        }
        assert {group.stage for group in view.failure_groups} == {"Unlucky"}
        last = groups["ValueError"]
        assert (last.number % 4, last.attempts, last.retries) == (1, 2, 8)
        assert (last.item, last.message) == (str(last.number), f"no {last.number}")
        assert last.where.startswith("seen.py:")
        assert last.traceback.endswith(f"ValueError: {last.message}\n")
        assert view.started <= last.time <= time.time()
        assert groups["WorkerLost"].item == "7"
        stage = next(stage for stage in view.stages if stage.kind == "processes")
        assert (stage.deaths, stage.failures, stage.retries) == (2, 15, 15)
        gone = [worker for worker in view.workers if worker.state == "gone"]
        assert [worker.end.split(" (")[0] for worker in gone] == ["killed by SIGKILL"] * 2
        assert json.loads(json.dumps(view.as_dict()))["failure_groups"][0]["stage"] == "Unlucky"
        run.finish()


def test_a_worker_in_the_place_of_a_dead_one(tmp_path: Path) -> None:
    with running("replaced", tmp_path) as run:
        view = run.view_when(
            lambda view: any(worker.item_seconds for worker in view.workers) and view.failures
        )
        lives, gone = view.workers
        assert (lives.place, lives.restarts, lives.state) == (0, 1, "busy")
        assert (gone.place, gone.state, gone.pid != lives.pid) == (None, "gone", True)
        run.finish()


def test_a_run_within_a_worker(tmp_path: Path) -> None:
    with running("nested", tmp_path) as run:
        outer = run.view_when(lambda view: any(worker.state == "busy" for worker in view.workers))
        (worker,) = outer.workers
        found: list[PipelineView] = []

        def inner() -> bool:
            found[:] = [view for view in pipelines() if view.pid == worker.pid]
            return bool(found)

        wait_until(inner)
        assert [(view.name, view.total) for view in found] == [("inner", 1)]
        assert [view.name for view in run.views()] == ["outer"]
        run.finish()


def test_twenty_stages_the_one_that_holds_up_the_others_and_a_drain(tmp_path: Path) -> None:
    with running("twenty", tmp_path) as run:
        view = run.view_when(
            lambda view: [stage.name for stage in view.stages if stage.bottleneck] == ["stage 19"]
        )
        assert [stage.name for stage in view.stages[:21]] == ["source", *(f"stage {n}" for n in range(20))]
        assert len({worker.stage for worker in view.workers}) == 20
        held_up = view.stages[20]
        assert held_up.load > 0.5
        assert held_up.waiting > 0
        assert held_up.in_flight > 0
        assert view.total == 1000
        assert view.in_flight == sum(stage.waiting + stage.in_flight for stage in view.stages[1:])
        run.process.send_signal(signal.SIGINT)
        run.view_when(lambda view: view.phase == "draining")
        run.finish()


def test_one_who_looks_again_and_again(tmp_path: Path) -> None:
    watch = Watch()
    with running("mixed", tmp_path) as run:
        wait_until(lambda: run.process.pid in {view.pid for view in watch.look().pipelines})
        run.finish()
        assert run.process.pid not in {view.pid for view in watch.look().pipelines}


class TestOfThisProcess:
    """What is seen is gone when the run is, however that ends."""

    @staticmethod
    def mine() -> list[PipelineView]:
        return [view for view in pipelines() if view.pid == os.getpid()]

    def test_one_that_fails(self) -> None:
        seen_names: list[str] = []

        def fails(_: int) -> None:
            wait_until(self.mine)
            seen_names.extend(view.name for view in self.mine())
            raise OSError("enough")

        with pytest.raises(OSError, match="enough"):
            Pipeline(range(3), name="fails").map(fails, threads=1).run()
        assert seen_names == ["fails"]
        assert self.mine() == []

    def test_one_whose_results_nobody_wants_any_more(self) -> None:
        results = Pipeline(iter(int, 1), name="left").map(same, threads=1).stream()
        wait_until(lambda: [next(results), self.mine()][1])
        assert [view.name for view in self.mine()] == ["left"]
        results.close()  # type: ignore[attr-defined]
        assert self.mine() == []

    def test_several_at_once(self) -> None:
        gate = threading.Event()
        runs = [
            threading.Thread(
                target=Pipeline([1], name=f"number {number}").map(lambda _: gate.wait(60), threads=1).run
            )
            for number in range(3)
        ]
        for run in runs:
            run.start()
        try:
            wait_until(lambda: len(self.mine()) == 3)
            assert {view.name for view in self.mine()} == {f"number {number}" for number in range(3)}
            assert len({view.id for view in self.mine()}) == 3
        finally:
            gate.set()
            for run in runs:
                run.join()
        assert self.mine() == []

    def test_a_page_that_cannot_be_written_is_not_the_runs_concern(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked = threading.Event()

        def no_memory(*_: Any) -> int:
            asked.set()
            raise OSError("no memory")

        monkeypatch.setattr("os.memfd_create", no_memory)
        report = Pipeline([1]).map(lambda item: asked.wait(60) and item, threads=1).to(list).run()
        assert report.result == [1]
