"""Executors: arguments that no other process finds by their names go by value, or the error says which one it is."""

from __future__ import annotations

import functools
import importlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from conveyor import Pipeline, ProcessPoolExecutor

METHODS: list[Any] = ["fork", "spawn", "forkserver"]


@pytest.fixture(params=METHODS)
def executor(request: pytest.FixtureRequest) -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(2, request.param) as made:
        yield made


def applied(function: Callable[..., Any], *args: Any) -> Any:
    return function(*args)


def applied_by_name(*args: Any, function: Callable[..., Any]) -> Any:
    return function(*args)


def first_of(functions: list[Callable[..., Any]], value: Any) -> Any:
    return functions[0](value)


def value_of(thing: Any) -> Any:
    return thing.value


def applied_to(item: int, function: Callable[[int], int]) -> int:
    return function(item)


def test_lambdas_closures_and_local_classes(executor: ProcessPoolExecutor) -> None:
    base = 10

    def add(number: int) -> int:
        return number + base

    class Local:
        value = 7

    assert executor.submit(applied, lambda number: 2 * number, 4).result(60) == 8
    assert executor.submit(applied, add, 4).result(60) == 14
    assert executor.submit(applied_by_name, 4, function=add).result(60) == 14
    assert executor.submit(first_of, [lambda number: -number], 4).result(60) == -4
    assert executor.submit(value_of, Local()).result(60) == 7
    assert executor.submit(lambda function: function(3), add).result(60) == 13
    assert executor.submit(functools.partial(applied, add), 1).result(60) == 11


def test_in_a_map_among_others(executor: ProcessPoolExecutor) -> None:
    functions: list[Any] = [str if number % 3 else (lambda n, by=number: n * by) for number in range(50)]
    expected = [str(number) if number % 3 else number * number for number in range(50)]
    assert list(executor.map(applied, functions, range(50))) == expected


def test_it_is_tried_again_as_others_are(executor: ProcessPoolExecutor) -> None:
    def fail() -> None:
        raise ValueError("always")

    error = executor.options(retries=2).submit(applied, fail).exception(60)
    assert isinstance(error, ValueError)
    assert "tried 3 times" in error.__notes__


def test_what_they_refer_to_is_what_it_is_at_the_call(executor: ProcessPoolExecutor) -> None:
    box = [1]
    assert executor.submit(applied, lambda: box[0]).result(60) == 1
    box[0] = 2
    assert executor.submit(applied, lambda: box[0]).result(60) == 2


def test_what_cannot_go_by_value_either(executor: ProcessPoolExecutor) -> None:
    lock = threading.Lock()
    error = executor.submit(applied_by_name, 1, function=lambda _: lock).exception(60)
    assert isinstance(error, Exception)
    notes = " ".join(error.__notes__)
    assert "argument 'function' of applied_by_name() is <function" in notes
    assert "nor can it go by value: cannot pickle '_thread.lock' object" in notes
    assert executor.submit(applied, abs, -1).result(60) == 1


def test_without_cloudpickle_the_error_says_which_and_what_to_install(
    executor: ProcessPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.import_module

    def find(name: str, package: str | None = None) -> Any:
        if name == "cloudpickle":
            raise ImportError(name)
        return found(name, package)

    monkeypatch.setattr(importlib, "import_module", find)
    good = executor.submit(applied, abs, -3)
    error = executor.submit(applied, abs, lambda: 1).exception(60)
    assert good.result(60) == 3
    assert error is not None
    [note] = [note for note in error.__notes__ if "argument" in note]
    assert note.startswith("argument 2 of applied() is <function")
    assert "pip install 'conveyor[cloudpickle]'" in note


@pytest.mark.parametrize("method", METHODS)
def test_arguments_of_a_stage(method: Any) -> None:
    base = 5
    pipeline = (
        Pipeline(range(3), ordered=True).map(applied_to, args=(lambda item: item + base,), workers=1).to(list)
    )
    assert pipeline.run(start_method=method).result == [5, 6, 7]
    by_name = Pipeline(range(3), ordered=True).map(
        applied_to, kwargs={"function": lambda item: item * base}, workers=1
    )
    assert by_name.to(list).run(start_method=method).result == [0, 5, 10]
