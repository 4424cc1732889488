"""Executors: arguments, callbacks and sizes that raise what nobody expects cost no other call its outcome."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import pytest

from conveyor import Pipeline, ProcessPoolExecutor


@pytest.fixture
def executor() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(2) as made:
        yield made


class Closed:
    """As of a file that is closed."""

    @property
    def nbytes(self) -> int:
        """Raises."""
        raise ValueError("the file is closed")


class Leaving:
    def __reduce__(self) -> Any:
        raise SystemExit(3)


class Unprintable:
    def __repr__(self) -> str:
        raise ZeroDivisionError

    def __reduce__(self) -> Any:
        raise TypeError("this is why")


def kind_of(item: Any) -> str:
    return type(item).__name__


def test_a_size_that_raises(executor: ProcessPoolExecutor) -> None:
    futures = [executor.submit(kind_of, Closed()) for _ in range(40)]
    assert [future.result(60) for future in futures] == ["Closed"] * 40
    assert list(executor.map(kind_of, [Closed(), Closed()])) == ["Closed"] * 2
    report = Pipeline([Closed()] * 3).map(kind_of, workers=1).to(list).run()
    assert report.result == ["Closed"] * 3


def test_a_repr_that_raises_does_not_hide_why(executor: ProcessPoolExecutor) -> None:
    with pytest.raises(TypeError, match="this is why") as caught:
        executor.submit(kind_of, Unprintable()).result(60)
    assert any("Unprintable whose repr raises" in note for note in caught.value.__notes__)


def test_the_note_names_the_argument_that_cannot_go_by_value_either(executor: ProcessPoolExecutor) -> None:
    with pytest.raises(Exception, match="local object") as caught:
        executor.submit(max, lambda number: number, threading.Lock()).result(60)
    assert any(note.startswith("argument 2 of max() is <unlocked") for note in caught.value.__notes__)


def test_when_pickling_ends_the_engine_no_call_is_left_without_an_outcome(
    executor: ProcessPoolExecutor,
) -> None:
    assert executor.submit(kind_of, 1).result(60) == "int"
    futures = [executor.submit(kind_of, Leaving()) for _ in range(3)]
    for future in futures:
        with pytest.raises(BrokenProcessPool, match="SystemExit"):
            future.result(60)


def test_a_callback_that_exits_costs_nobody_anything(
    executor: ProcessPoolExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    begin = threading.Event()
    told: list[str] = []
    last_told = threading.Event()

    def leave(future: Future[str]) -> None:
        begin.wait(60)
        raise SystemExit(5)

    def tell(future: Future[str]) -> None:
        told.append(future.result())
        if len(told) == 20:
            last_told.set()

    futures: list[Future[str]] = []
    for _ in range(20):
        future = executor.submit(kind_of, 1)
        future.add_done_callback(leave)
        future.add_done_callback(tell)
        futures.append(future)
    begin.set()
    assert [future.result(60) for future in futures] == ["int"] * 20
    assert last_told.wait(60)
    assert executor.submit(kind_of, "").result(60) == "str"
    assert "exception calling callback" in caplog.text
