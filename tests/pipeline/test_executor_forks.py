"""Executors in forked copies of the program: no lock of theirs is held there, and they say whose they are."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from typing import Any

import pytest

from conveyor import Pipeline, ProcessPoolExecutor

PATIENCE = 20.0


def ask(executor: list[ProcessPoolExecutor]) -> int:
    return executor[0].submit(os.getpid).result(PATIENCE)


def in_a_worker(function: Callable[[Any], Any]) -> Any:
    """Its result in a worker that is forked now."""
    stage = Pipeline([0]).map(function, workers=1, timeout=PATIENCE)
    return stage.to(list).run(start_method="fork").result[0]


@pytest.mark.parametrize("retried", [False, True], ids=["first", "replaced"])
def test_a_worker_cannot_use_the_executor_that_it_is_of(retried: bool) -> None:
    executors: list[ProcessPoolExecutor] = []

    def nested(_: int) -> int:
        return ask(executors)

    with ProcessPoolExecutor(1, "fork", initializer=bind, initargs=(nested,)) as executor:
        executors.append(executor)
        if retried:
            executor.submit(os._exit, 1).exception(PATIENCE)
        with pytest.raises(RuntimeError, match=f"belong to process {os.getpid()}, and this is a fork of it"):
            executor.submit(call_bound, 0).result(PATIENCE)


bound: Callable[[int], int] | None = None


def bind(function: Callable[[int], int]) -> None:
    global bound
    bound = function


def call_bound(item: int) -> int:
    assert bound is not None
    return bound(item)


def test_a_copy_that_is_made_while_an_executor_starts() -> None:
    with ProcessPoolExecutor(1, "fork") as executor:
        with executor._guard:  # as a thread has it that submits the first call
            assert in_a_worker(lambda _: ask([executor])) != os.getpid()  # it has a worker of its own
        assert ask([executor]) != os.getpid()


def test_a_copy_that_is_made_while_joblib_gets_its_executor() -> None:
    joblib = importlib.import_module("conveyor.joblib")
    with joblib._shared._lock:
        assert in_a_worker(lambda _: joblib._shared.drop() is None)
