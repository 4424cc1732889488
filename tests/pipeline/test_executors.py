"""Stages whose functions an executor of the user's calls."""

from __future__ import annotations

import importlib.util
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from conveyor import Pipeline, PipelineError, WorkerPoolBroken


def square(number: int) -> int:
    return number * number


def refuse_seven(number: int) -> int:
    if number == 7:
        raise ValueError("seven is refused")
    return number


def double_each(number: int) -> list[int]:
    return [number, number]


class Adds:
    """Has something to set up, once for each place that it is called in."""

    def setup(self) -> None:
        self.much = 10

    def __call__(self, number: int) -> int:
        return number + self.much


class TearsDown(Adds):
    def teardown(self) -> None:
        pass


class DiesOnce:
    """Kills the process that it is in, once, on one item."""

    def __init__(self, mark: Path, on: int) -> None:
        self.mark = str(mark)
        self.on = on

    def __call__(self, number: int) -> int:
        if number == self.on:
            try:
                os.close(os.open(self.mark, os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                return number
            os.kill(os.getpid(), signal.SIGKILL)
        return number


def make_executor(kind: str) -> Any:
    if kind == "threads":
        return ThreadPoolExecutor(2)
    if kind == "processes":
        return ProcessPoolExecutor(2)
    if kind == "loky":
        return import_module("loky").ProcessPoolExecutor(2)
    if kind == "mpi4py":
        return import_module("mpi4py.futures").MPIPoolExecutor(max_workers=2)
    if kind == "ray":
        return import_module("ray").init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    distributed = pytest.importorskip("distributed")
    cluster = distributed.LocalCluster(2, threads_per_worker=1, processes=True, dashboard_address=":0")
    return distributed.Client(cluster)


@contextmanager
def running(kind: str) -> Iterator[Any]:
    """An executor of that kind, which is gone behind."""
    made = make_executor(kind)
    try:
        yield made
    finally:
        if kind == "dask":
            made.close()
            made.cluster.close()
        elif kind == "ray":
            import_module("ray").shutdown()
        else:
            made.shutdown()


def many_quick_items_in_order(executor: Any) -> None:
    report = Pipeline(range(3000)).map(square, executor=executor, ordered=True).to(list).run()
    assert report.result == [number * number for number in range(3000)]
    assert report.stages[1].kind == "executor"
    assert sum(worker.items for worker in report.stages[1].workers) == 3000
    assert "executor" in str(report)


def no_result_several_results_and_a_second_function(executor: Any) -> None:
    stages = Pipeline(range(20)).filter(is_odd, executor=executor, ordered=True).flat_map(double_each)
    report = stages.to(list).run()
    assert report.result == [number for number in range(1, 20, 2) for _ in range(2)]


def a_failure_has_its_item_and_its_traceback(executor: Any) -> None:
    stages = Pipeline(range(20)).map(refuse_seven, executor=executor, ordered=True, retries=1, backoff=0)
    with pytest.raises(ValueError, match="seven is refused") as raised:
        stages.map(square, threads=1, ordered=True).to(list).run()
    assert any("in stage 'refuse_seven' on item 7" in note for note in raised.value.__notes__)


def skipped(executor: Any) -> None:
    report = Pipeline(range(20)).map(refuse_seven, executor=executor, on_error="skip").to(list).run()
    assert sorted(report.result) == [number for number in range(20) if number != 7]
    (failure,) = report.first_failures
    assert (failure.item, failure.number) == (7, 7)
    assert "refuse_seven" in failure.traceback


def setup_is_called(executor: Any) -> None:
    report = Pipeline(range(20)).map(Adds, executor=executor, ordered=True).to(list).run()
    assert report.result == [number + 10 for number in range(20)]


def keys_keep_their_order(executor: Any) -> None:
    report = Pipeline(range(60)).map(square, executor=executor, key=is_odd, workers=2).to(list).run()
    for rest in (0, 1):
        kept = [number for number in report.result if number % 2 == rest]
        assert kept == [number * number for number in range(60) if number % 2 == rest]


def an_item_that_cannot_travel(executor: Any) -> None:
    if isinstance(executor, ThreadPoolExecutor):
        return  # nothing travels
    lock = threading.Lock()
    report = Pipeline([1, lock, 3]).map(name_of_type, executor=executor, on_error="skip").to(list).run()
    assert report.result == ["int", "int"]
    assert report.first_failures[0].item is lock


def all_of_it(executor: Any) -> None:
    many_quick_items_in_order(executor)
    no_result_several_results_and_a_second_function(executor)
    a_failure_has_its_item_and_its_traceback(executor)
    skipped(executor)
    setup_is_called(executor)
    keys_keep_their_order(executor)
    an_item_that_cannot_travel(executor)


@pytest.mark.parametrize("kind", ["threads", "processes", "dask"])
def test_an_executor_does_what_workers_do(kind: str) -> None:
    with running(kind) as executor:
        all_of_it(executor)


# What a program of its own starts, as it leaves processes behind, or needs to be started by its library.
LAUNCHERS = {
    "loky": [],
    "ray": [],
    "mpi4py": ["mpiexec", "--allow-run-as-root", "--oversubscribe", "-n", "3"],
}


@pytest.mark.parametrize("kind", LAUNCHERS)
def test_an_executor_of_another_program_does_what_workers_do(kind: str) -> None:
    launcher = LAUNCHERS[kind]
    if launcher and shutil.which(launcher[0]) is None:
        pytest.skip("there is no MPI on this machine, which mpi4py needs: apt-get install openmpi-bin")
    if importlib.util.find_spec(kind) is None:
        pytest.skip(f"{kind} is not to be had for this Python")
    module = ["-m", "mpi4py.futures"] if launcher else []
    done = subprocess.run(
        [*launcher, sys.executable, *module, __file__, kind],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"},
    )
    assert done.returncode == 0, done.stderr


def a_worker_is_killed(executor: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        dies = DiesOnce(Path(folder) / "mark", on=150)
        report = Pipeline(range(400)).map(dies, executor=executor, ordered=True, retries=3).to(list).run()
        assert report.result == list(range(400))
        assert (Path(folder) / "mark").exists()


def too_slow(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def a_slow_item_is_cancelled(executor: Any) -> None:
    stages = Pipeline([600.0, 0.0]).map(too_slow, executor=executor, timeout=5, on_error="skip")
    report = stages.to(list).run()
    assert report.result == [0.0]
    assert [failure.kind for failure in report.first_failures] == ["ItemTimeout"]


def name_of_type(item: Any) -> str:
    return type(item).__name__


def is_odd(number: int) -> int:
    return number % 2


def test_a_killed_worker_of_a_cluster_costs_nothing() -> None:
    with running("dask") as client:
        a_worker_is_killed(client)


def test_a_pool_that_breaks_ends_the_run() -> None:
    with ProcessPoolExecutor(1) as executor:
        stages = Pipeline(range(40)).map(os._exit, executor=executor, on_error="skip")
        with pytest.raises(WorkerPoolBroken, match="takes no work"):
            stages.run()


class Stuck:
    """An executor that never does anything."""

    def __init__(self) -> None:
        self.futures: list[Future[Any]] = []

    def submit(self, function: Any, /, *arguments: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.futures.append(future)
        return future


def test_a_time_limit_cancels_and_goes_on() -> None:
    stuck = Stuck()
    began = time.monotonic()
    stages = Pipeline([1, 2]).map(square, executor=stuck, workers=1, timeout=0.2, on_error="skip")
    report = stages.to(list).run()
    assert time.monotonic() - began < 30
    assert report.result == []
    assert [failure.kind for failure in report.first_failures] == ["ItemTimeout", "ItemTimeout"]
    assert [future.cancelled() for future in stuck.futures] == [True, True]


def test_no_more_is_submitted_than_is_wanted() -> None:
    stuck = Stuck()
    stages = Pipeline(iter(range(10**9))).map(square, executor=stuck, workers=3, timeout=0.5)
    with pytest.raises(Exception, match=r"longer than 0\.5 s"):
        stages.run()
    assert len(stuck.futures) == 3


class AtOnce:
    """Has done the work when it returns, and refuses what it cannot pickle, as dask does."""

    def submit(self, function: Any, /, *arguments: Any) -> Future[Any]:
        pickle.dumps(arguments)
        future: Future[Any] = Future()
        future.set_result(function(*arguments))
        return future


def test_thousands_of_items_that_are_refused_together() -> None:
    items = [*range(30_000), *(threading.Lock() for _ in range(9_000)), 1]
    stages = Pipeline(items).map(name_of_type, executor=AtOnce(), workers=1, on_error="skip")
    report = stages.to(list).run()
    assert (report.failures, report.results) == (9_000, 30_001)


class TestWrong:
    def test_nothing_that_takes_work(self) -> None:
        with pytest.raises(PipelineError, match=r"it must have submit\(function"):
            Pipeline([1]).map(square, executor=3)

    def test_two_places(self) -> None:
        with pytest.raises(PipelineError, match="has threads, and an executor"):
            Pipeline([1]).map(square, executor=Stuck(), threads=2)

    def test_a_teardown(self) -> None:
        with pytest.raises(PipelineError, match="an executor does not tell when its workers end"):
            Pipeline([1]).map(TearsDown, executor=Stuck())


if __name__ == "__main__":
    with running(sys.argv[1]) as running_one:
        all_of_it(running_one)
        if sys.argv[1] == "ray":
            a_worker_is_killed(running_one)
            a_slow_item_is_cancelled(running_one)
