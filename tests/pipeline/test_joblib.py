"""The joblib backend."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
import time
import warnings
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import joblib
import numpy
import pytest
from called import die, fail, gone, process_id, same
from joblib import Parallel, delayed

import conveyor.joblib
from conveyor import WorkerLost


@pytest.fixture(autouse=True)
def backend() -> Iterator[None]:
    conveyor.joblib.register()
    with joblib.parallel_config(backend="conveyor"):
        yield
    conveyor.joblib.shutdown()


@pytest.mark.parametrize(
    "options",
    [{}, {"batch_size": 7}, {"pre_dispatch": "all"}, {"pre_dispatch": 3}, {"batch_size": 1}],
    ids=str,
)
def test_results_in_order(options: dict[str, object]) -> None:
    assert Parallel(n_jobs=2, **options)(delayed(same)(number) for number in range(500)) == list(range(500))


def test_it_runs_in_processes_of_ours_that_stay() -> None:
    first = set(Parallel(n_jobs=2)(delayed(process_id)() for _ in range(50)))
    second = set(Parallel(n_jobs=2)(delayed(process_id)() for _ in range(50)))
    assert os.getpid() not in first | second
    assert len(first | second) <= 2


def test_lambdas_closures_and_keywords() -> None:
    factor = 3
    assert Parallel(n_jobs=2)(delayed(lambda x, y=0: factor * x + y)(n, y=1) for n in range(5)) == [
        1,
        4,
        7,
        10,
        13,
    ]


@pytest.mark.parametrize("kind", ["generator", "generator_unordered"])
def test_results_as_they_come(kind: str) -> None:
    results = Parallel(n_jobs=2, return_as=kind)(delayed(same)(number) for number in range(200))
    assert sorted(results) == list(range(200))


def test_an_exception_is_raised_and_the_next_call_works() -> None:
    with pytest.raises(ValueError, match="on purpose"):
        Parallel(n_jobs=2)(delayed(fail)("on purpose") for _ in range(20))
    assert Parallel(n_jobs=2)(delayed(same)(number) for number in range(20)) == list(range(20))


def test_a_worker_that_dies_is_an_error_and_the_next_call_works() -> None:
    with pytest.raises(WorkerLost):
        Parallel(n_jobs=2)(delayed(die)(number) for number in range(4))
    pid = Parallel(n_jobs=2)(delayed(process_id)() for _ in range(2))[0]
    os.kill(pid, signal.SIGKILL)  # nobody needs it now
    assert gone(pid)
    assert Parallel(n_jobs=2)(delayed(same)(number) for number in range(20)) == list(range(20))


def test_a_timeout() -> None:
    with pytest.raises(multiprocessing.TimeoutError):  # joblib's choice
        Parallel(n_jobs=2, timeout=0.2)(delayed(time.sleep)(30) for _ in range(2))


def test_numbers_of_jobs() -> None:
    assert Parallel(n_jobs=1)(delayed(os.getpid)() for _ in range(2)) == [os.getpid()] * 2
    assert Parallel(n_jobs=-1)(delayed(same)(number) for number in range(5)) == list(range(5))
    assert joblib.effective_n_jobs(-2) == max(joblib.effective_n_jobs(-1) - 1, 1)
    with pytest.raises(ValueError, match="n_jobs"):
        Parallel(n_jobs=0)(delayed(same)(1) for _ in range(2))


def test_nested_calls() -> None:
    def inner(start: int) -> int:
        return sum(Parallel(n_jobs=2)(delayed(same)(number) for number in range(start, start + 3)))

    assert Parallel(n_jobs=2)(delayed(inner)(start) for start in range(4)) == [3, 6, 9, 12]


def test_nested_calls_of_this_backend() -> None:
    def inner(start: int) -> list[int]:
        return list(
            Parallel(n_jobs=2, backend="conveyor")(
                delayed(same)(number) for number in range(start, start + 3)
            )
        )

    assert Parallel(n_jobs=2)(delayed(inner)(start) for start in range(2)) == [[0, 1, 2], [1, 2, 3]]


def test_a_generator_that_is_dropped_ends_its_own_calls_alone() -> None:
    dropped = Parallel(n_jobs=2, return_as="generator")(delayed(time.sleep)(60) for _ in range(6))
    other = Parallel(n_jobs=2, return_as="generator")(delayed(same)(number) for number in range(300))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # joblib tells that something was not used
        del dropped
    assert list(other) == list(range(300))


def test_calls_of_other_numbers_of_jobs_go_on_beside_each_other() -> None:
    first = Parallel(n_jobs=2, return_as="generator")(delayed(same)(number) for number in range(300))
    second = Parallel(n_jobs=3, return_as="generator")(delayed(same)(number) for number in range(300))
    assert list(second) == list(first) == list(range(300))


def test_what_cannot_be_pickled_is_told_wherever_it_comes() -> None:
    with pytest.raises(pickle.PicklingError, match="task to send"):
        Parallel(n_jobs=2, batch_size=1)(
            delayed(same)(threading.Lock() if number == 40 else number) for number in range(60)
        )
    assert Parallel(n_jobs=2)(delayed(same)(number) for number in range(20)) == list(range(20))


def test_an_initializer() -> None:
    def set_up(what: str) -> None:
        os.environ["CONVEYOR_TEST_JOBLIB"] = what

    def call(what: str) -> set[tuple[int, str | None]]:
        return set(
            Parallel(n_jobs=2, initializer=set_up, initargs=(what,))(
                delayed(lambda: (os.getpid(), os.getenv("CONVEYOR_TEST_JOBLIB")))() for _ in range(20)
            )
        )

    first = call("one")
    assert {what for _, what in first} == {"one"}
    assert len(first | call("one")) <= 2, "the workers stay"
    assert {what for _, what in call("two")} == {"two"}
    with pytest.raises(TypeError, match="initializer is 3"):
        Parallel(n_jobs=2, initializer=3)(delayed(same)(1) for _ in range(2))
    with pytest.raises(TypeError, match="no option colour"):
        Parallel(n_jobs=2, colour=3)(delayed(same)(1) for _ in range(2))


def test_an_initializer_that_raises() -> None:
    with pytest.raises(BrokenProcessPool):
        Parallel(n_jobs=2, initializer=fail, initargs=("on purpose",))(delayed(same)(1) for _ in range(4))
    assert Parallel(n_jobs=2)(delayed(same)(number) for number in range(4)) == list(range(4))


def test_arrays() -> None:
    array = numpy.arange(1 << 18)
    results = Parallel(n_jobs=2)(delayed(numpy.sum)(array + number) for number in range(4))
    assert results == [int(array.sum()) + number * len(array) for number in range(4)]


def test_threads_of_numerical_libraries_are_bounded() -> None:
    with joblib.parallel_config(backend="conveyor", inner_max_num_threads=3):
        assert Parallel(n_jobs=2)(delayed(os.getenv)("OMP_NUM_THREADS") for _ in range(2)) == ["3", "3"]


def test_without_joblib_it_says_what_to_install(tmp_path: Path) -> None:
    import subprocess
    import sys

    (tmp_path / "joblib.py").write_text("raise ImportError('no joblib here')")
    done = subprocess.run(
        [sys.executable, "-c", "import conveyor.joblib; conveyor.joblib.register()"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "pip install 'conveyor[joblib]'" in done.stderr
