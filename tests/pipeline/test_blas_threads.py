"""BLAS and OpenMP in worker processes: the processors are shared out among them, and the user has the last word."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import threadpoolctl

from conveyor import Pipeline, PipelineError

METHODS: list[Any] = ["fork", "spawn", "forkserver"]
HERE = len(os.sched_getaffinity(0))
VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def threads_of(_: int) -> tuple[set[int], set[str | None]]:
    """How many threads the libraries have that NumPy brings, and what the environment says."""
    np.ones((2, 2)) @ np.ones((2, 2))
    found = {library["num_threads"] for library in threadpoolctl.threadpool_info()}
    return found, {os.environ.get(name) for name in VARIABLES}


@pytest.fixture(autouse=True)
def _nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.skipif(HERE < 2, reason="with one processor, libraries have one thread by themselves")
@pytest.mark.parametrize("method", METHODS)
def test_the_processors_are_shared_out_among_the_workers(method: Any) -> None:
    before = threads_of(0)
    report = Pipeline(range(4)).map(threads_of, workers=HERE).to(list).run(start_method=method)
    assert report.result == [({1}, {"1"})] * 4
    assert report.blas == "BLAS and OpenMP: 1 thread in each worker process."
    assert report.blas in str(report)
    assert threads_of(0) == before, "this process is as it was"


@pytest.mark.parametrize("method", METHODS)
def test_it_can_be_said_by_hand(method: Any) -> None:
    pipeline = Pipeline(range(2)).map(threads_of, workers=1, blas_threads=1)
    assert pipeline.to(list).run(start_method=method).result == [({1}, {"1"})] * 2


def test_or_left_alone() -> None:
    report = Pipeline([0]).map(threads_of, workers=4, blas_threads="any").to(list).run()
    assert report.result == [threads_of(0)]
    assert report.blas == ""


# A fork server has the environment that there was when it began.
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_what_the_environment_says_stays(method: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "7")
    report = Pipeline([0]).map(threads_of, workers=1, blas_threads=1).to(list).run(start_method=method)
    assert report.result[0][1] == {"1", "7"}


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"blas_threads": 0}, "blas_threads of 'abs' is 0; it must be at least 1"),
        ({"blas_threads": "all"}, "blas_threads of 'abs' is 'all'; it must be a number of threads, or 'any'"),
        ({"blas_threads": 2, "threads": 2}, "has blas_threads, and no worker processes of its own"),
    ],
)
def test_what_cannot_be(options: Any, error: str) -> None:
    with pytest.raises(PipelineError, match=error):
        Pipeline([1]).map(abs, **options)


def test_a_program_without_numpy_pays_nothing(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(
        "import sys\n"
        "from conveyor import Pipeline\n"
        "def loaded(_):\n"
        "    return [name for name in ('numpy', 'threadpoolctl') if name in sys.modules]\n"
        "if __name__ == '__main__':\n"
        "    report = Pipeline([1]).map(loaded, workers=4).to(list).run()\n"
        "    print(report.result, repr(report.blas))\n"
    )
    done = subprocess.run(
        [sys.executable, tmp_path / "program.py"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "[[]] ''\n", done.stderr
