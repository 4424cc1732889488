"""Large items that travel from stage to stage without a copy, and what must not be seen of that."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest

from conveyor import Pipeline
from conveyor._native import Memory

SIZE = 1 << 20


def same(item: Any) -> Any:
    return item


def add_one(array: Any) -> Any:
    array += 1
    return array


def in_what(array: Any) -> tuple[str, int]:
    """What the array lies in, and its first element."""
    owner = array
    while type(owner) is not Memory and getattr(owner, "base", None) is not None:
        owner = owner.base
    if type(owner) is memoryview:
        owner = owner.obj
    return type(owner).__name__, int(array.flat[0])


def twice(array: Any) -> Iterator[Any]:
    yield from (array, array)


def pair(array: Any) -> list[Any]:
    return [array, array]


def named(array: Any) -> dict[str, Any]:
    return {"name": "it", "pixels": array, "size": (1, 2)}


def add_to_pixels(item: dict[str, Any]) -> int:
    item["pixels"] += 1
    return int(item["pixels"].sum())


def scribble_then_die(array: Any) -> int:
    first = int(array[0])
    array[:] = 99
    if first == 3 and not Path(os.environ["CONVEYOR_TEST_MARK"]).exists():
        Path(os.environ["CONVEYOR_TEST_MARK"]).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return first


_KEPT: list[Any] = []


def keep(array: Any) -> int:
    """Keep every array for ever, and look whether those kept so far are what they were."""
    _KEPT.append((int(array[0]), array))
    return sum(bool((kept == first).all()) for first, kept in _KEPT)


def arrays(count: int) -> Iterator[Any]:
    for number in range(count):
        yield numpy.full(SIZE, number, "u1")


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_an_array_lies_where_the_stage_before_put_it(method: Any) -> None:
    stages = Pipeline(lambda: arrays(20), ordered=True).map(same, workers=1).map(in_what, workers=1)
    found = list(stages.stream(start_method=method))
    assert [first for _, first in found] == list(range(20))  # type: ignore[misc]
    assert sum(where == "Memory" for where, _ in found) >= 15  # type: ignore[misc]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_written_in_place_by_each_stage(method: Any) -> None:
    stages = Pipeline(lambda: arrays(20), ordered=True)
    for workers in (1, 2, 1):
        stages = stages.map(add_one, workers=workers)
    results: list[Any] = stages.to(list).run(start_method=method).result
    assert all((array == number + 3).all() for number, array in enumerate(results))


@pytest.mark.parametrize(
    "doubled",
    [
        Pipeline(lambda: arrays(8)).flat_map(twice, workers=1),
        Pipeline(lambda: arrays(8)).map(pair, workers=1).unbatch(),
    ],
)
def test_one_array_twice_is_two_items(doubled: Pipeline[Any]) -> None:
    firsts = [int(array[0]) for array in doubled.map(add_one, workers=2).to(list).run().result]
    assert sorted(firsts) == sorted([number + 1 for number in range(8)] * 2)


def test_what_somebody_else_was_shown_stays_as_it_was() -> None:
    seen: list[Any] = []
    stages = Pipeline(lambda: arrays(8), ordered=True).map(same, workers=1).tee(seen).map(add_one, workers=1)
    results: list[Any] = stages.to(list).run().result
    assert [int(array[0]) for array in seen] == list(range(8))
    assert [int(array[0]) for array in results] == list(range(1, 9))


def test_arrays_within_items() -> None:
    stages = Pipeline(lambda: arrays(8), ordered=True).map(named, workers=1).map(add_to_pixels, workers=1)
    assert list(stages.stream()) == [(number + 1) * SIZE for number in range(8)]


def test_an_item_is_tried_again_as_it_came(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVEYOR_TEST_MARK", str(tmp_path / "mark"))
    stages = Pipeline(lambda: arrays(6), ordered=True).map(same, workers=1)
    stages = stages.map(scribble_then_die, workers=1, retries=1, backoff=0)
    assert list(stages.stream()) == list(range(6))


def test_a_worker_may_keep_what_it_got() -> None:
    stages = Pipeline(lambda: arrays(24), ordered=True).map(same, workers=1).map(keep, workers=1)
    assert list(stages.stream()) == list(range(1, 25))


def test_a_killed_borrower_leaves_no_memory_behind() -> None:
    def kill(item: Any) -> None:
        os.kill(item, signal.SIGKILL)

    stages = (
        Pipeline(lambda: arrays(200), ordered=True)
        .map(same, workers=1)
        .map(pid_and_first, workers=1, on_error="skip")
    )
    firsts = []
    for number, (pid, first) in enumerate(stages.stream()):  # type: ignore[misc]
        firsts.append(first)
        if number % 50 == 10:
            kill(pid)
    assert firsts == sorted(firsts)
    assert len(firsts) >= 200 - 4


def pid_and_first(array: Any) -> tuple[int, int]:
    return os.getpid(), int(array[0])


def test_counting_references_is_understood_by_this_python() -> None:
    from conveyor.pipeline.supervise import share_memory as lending

    items = [[numpy.zeros(10)]]
    assert lending._references(items, 0) == lending._ONE
    other = items[0]
    assert lending._references(items, 0) == lending._ONE + 1, sys.version
    del other
