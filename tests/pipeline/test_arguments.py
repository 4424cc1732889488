"""Functions of several arguments: `starmap`, `unpack`, `args` and `kwargs`, wherever the function runs."""

from __future__ import annotations

import functools
import multiprocessing
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conveyor import Pipeline, PipelineError

METHODS: list[Any] = ["fork", "spawn", "forkserver"]
PLACES: list[dict[str, Any]] = [{"workers": 2}, {"threads": 2}]


def power(base: int, exp: int = 2, *, plus: int = 0) -> int:
    return base**exp + plus


async def power_soon(base: int, exp: int = 2, *, plus: int = 0) -> int:
    return power(base, exp, plus=plus)


def is_above(item: int, bound: int) -> bool:
    return item > bound


def repeat(item: int, times: int) -> Iterator[int]:
    for _ in range(times):
        yield item


class Adder:
    """Set up before it is called."""

    def setup(self) -> None:
        self.base = 100

    def __call__(self, one: int, two: int) -> int:
        return self.base + one + two


def total_of(item: int, table: Any, report: Path) -> float:
    """Sums a table, and writes down how much of the worker's memory is its own."""
    total = float(table.sum()) + item
    with report.joinpath(str(os.getpid())).open("w") as file:
        file.write(_own_memory())
    return total


def _own_memory() -> str:
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    own = sum(int(line.split()[1]) for line in lines if line.startswith(("Private_Dirty:", "Private_Clean:")))
    return str(own * 1024)


def write_into(_: int, table: Any) -> float:
    table += 1
    return float(table[0])


@pytest.mark.parametrize("method", METHODS)
def test_items_become_arguments_by_place_or_by_name(method: Any) -> None:
    items: list[Any] = [(2, 5), {"base": 3, "exp": 2}, [4], iter((5, 1)), {"base": 2, "exp": 3, "plus": 1}]
    items = [item if not isinstance(item, Iterator) else tuple(item) for item in items]
    report = Pipeline(items).starmap(power, workers=1, ordered=True).to(list).run(start_method=method)
    assert report.result == [32, 9, 16, 5, 9]


@pytest.mark.parametrize("where", PLACES)
def test_more_arguments_go_to_each_call(where: dict[str, Any]) -> None:
    numbers = Pipeline(range(100), ordered=True)
    assert numbers.map(power, args=(3,), kwargs={"plus": 1}, **where).to(list).run().result == [
        number**3 + 1 for number in range(100)
    ]
    assert numbers.filter(is_above, args=(97,), **where).to(list).run().result == [98, 99]
    times = numbers.filter(is_above, args=(97,), **where).flat_map(repeat, kwargs={"times": 2})
    assert times.to(list).run().result == [98, 98, 99, 99]


def test_a_later_stage_of_the_same_workers_has_arguments_of_its_own() -> None:
    stages = Pipeline([1, 2]).map(power, workers=1, ordered=True, args=(2,)).map(power, args=(3,))
    assert stages.describe().vertices[-1].detail == "in the workers of the stage before, 1 more argument"
    assert stages.to(list).run().result == [1, 64]


def test_coroutines_and_executors_get_them_too() -> None:
    pairs = Pipeline([(1, 2), {"base": 3}], ordered=True)
    assert pairs.starmap(power_soon, kwargs={"plus": 1}).to(list).run().result == [2, 10]
    with ThreadPoolExecutor(2) as executor:
        report = pairs.starmap(power, kwargs={"plus": 1}, executor=executor).to(list).run()
    assert report.result == [2, 10]


@pytest.mark.parametrize("where", PLACES)
def test_an_object_that_is_set_up_takes_several(where: dict[str, Any]) -> None:
    for function in (Adder, Adder()):
        report = Pipeline([(1, 2), (3, 4)], ordered=True).starmap(function, **where).to(list).run()
        assert report.result == [103, 107]


def test_a_tuple_that_comes_out_of_a_stage_is_unpacked_by_the_next() -> None:
    report = (
        Pipeline([(1, 2), (3, 4)], ordered=True)
        .map(tuple, workers=1)
        .starmap(lambda one, two: (two, one))
        .starmap(power, threads=1)
    )
    assert report.to(list).run().result == [2, 64]


@pytest.mark.parametrize(
    ("item", "said"),
    [
        (5, "the item 5, a int, is to be unpacked into the arguments of power"),
        ("ab", "the item 'ab', a str, is to be unpacked"),
        ((1, 2, 3, 4), "takes from 1 to 2 positional arguments but 4 positional"),
        ({"bass": 1}, "unexpected keyword argument 'bass'"),
        ({"base": 1, "plus": 2}, "multiple values for keyword argument 'plus'"),
        ({1: 2}, "keywords must be strings"),
    ],
)
@pytest.mark.parametrize("where", PLACES)
def test_an_item_that_cannot_be_unpacked_fails_alone(item: Any, said: str, where: dict[str, Any]) -> None:
    outcomes = list(
        Pipeline([(2,), item, (3,)], ordered=True)
        .starmap(power, kwargs={"plus": 0}, **where)
        .stream(outcomes=True)
    )
    assert (outcomes[0], outcomes[2]) == (4, 9)
    assert outcomes[1].kind == "TypeError"
    assert said in str(outcomes[1])
    assert outcomes[1].item == item


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (
            lambda: Pipeline([1]).map(power, args=(1, 2)),
            "with an item and 2 more by place, and too many positional",
        ),
        (
            lambda: Pipeline([1]).map(power, kwargs={"bass": 1}),
            "an item and bass by name, and got an unexpected",
        ),
        (lambda: Pipeline([1]).map(power, kwargs={"base": 1}), "multiple values for argument 'base'"),
        (lambda: Pipeline([1]).map(is_above), "missing a required argument: 'bound'"),
        (lambda: Pipeline([1]).starmap(lambda: 1), "what an item is unpacked into, and takes none of them"),
        (lambda: Pipeline([1]).starmap(lambda a: a, args=(1,)), "takes none of them"),
        (lambda: Pipeline([1]).map(Adder, args=(1, 2)), "too many positional arguments"),
        (lambda: Pipeline([1]).map(power, args="ab"), "args of 'power' is 'ab', a str; it must be a tuple"),
        (lambda: Pipeline([1]).map(power, args=3), "args of 'power' is 3, a int; it must be a tuple"),
        (
            lambda: Pipeline([1]).map(power, kwargs=[1]),
            r"kwargs of 'power' is \[1\], a list; it must be a dict",
        ),
        (
            lambda: Pipeline([1]).map(power, kwargs={1: 1}),
            "has the key 1; the name of an argument is a string",
        ),
        (lambda: Pipeline([1]).map(power, unpack=1), "unpack of 'power' is 1; it must be True or False"),
    ],
)
def test_what_cannot_be_called_like_this_is_refused_at_once(make: Any, error: str) -> None:
    with pytest.raises((TypeError, PipelineError), match=error):
        make()


def test_functions_that_do_not_tell_their_arguments_are_believed() -> None:
    assert Pipeline([(2, 3)]).starmap(pow, threads=1).to(list).run().result == [8]
    partial = functools.partial(power, exp=3)
    assert Pipeline([2]).map(partial, kwargs={"plus": 1}, workers=1).to(list).run().result == [9]


def test_an_argument_that_cannot_travel_is_named() -> None:
    pipeline = Pipeline([1]).map(power, kwargs={"plus": threading.Lock()}, workers=1)
    with pytest.raises(PipelineError, match=r"its kwargs\['plus'\], a lock, cannot be pickled"):
        pipeline.check("spawn")
    pipeline.check("fork")


@pytest.mark.parametrize("method", METHODS)
def test_a_large_array_is_in_memory_once_for_all_workers(method: Any, tmp_path: Path) -> None:
    table = np.ones(8 * 1024 * 1024)  # 64 MiB
    report = (
        Pipeline(range(40)).map(total_of, workers=3, args=(table, tmp_path)).to(list).run(start_method=method)
    )
    assert sorted(report.result) == [table.size + item for item in range(40)]
    own = [int(file.read_text()) for file in tmp_path.iterdir()]
    assert own
    assert max(own) < table.nbytes, "a worker has a copy of its own"


class Counted:
    """An array that notes how often it was pickled."""

    pickled = 0

    def __init__(self, content: Any) -> None:
        self.content = content
        self.nbytes = content.nbytes

    def __reduce__(self) -> tuple[Any, ...]:
        Counted.pickled += 1
        return Counted, (self.content,)

    def sum(self) -> float:
        return float(self.content.sum())


def sum_with(item: int, table: Any) -> float:
    return float(table.sum()) + item


def test_an_executor_gets_large_arguments_about_once_for_each_of_its_workers() -> None:
    table = Counted(np.ones(128 * 1024))
    Counted.pickled = 0
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as executor:
        report = (
            Pipeline(range(64), ordered=True)
            .map(sum_with, args=(table,), executor=executor, timeout=30)  # so that each item travels alone
            .to(list)
            .run()
        )
    assert report.result == [128 * 1024 + item for item in range(64)]
    assert 1 <= Counted.pickled <= 8


@pytest.mark.parametrize("method", METHODS)
def test_a_worker_may_write_into_its_arguments_and_nobody_sees(method: Any) -> None:
    table = np.zeros(32 * 1024)
    report = Pipeline(range(4)).map(write_into, workers=1, args=(table,)).to(list).run(start_method=method)
    assert sorted(report.result) == [1.0, 2.0, 3.0, 4.0]
    assert table[0] == 0


@pytest.mark.parametrize("method", METHODS)
def test_the_worker_in_place_of_a_dead_one_has_the_arguments_too(method: Any) -> None:
    table = np.ones(32 * 1024)
    report = (
        Pipeline(range(4), ordered=True)
        .map(die_once, workers=1, args=(table, os.getpid()), on_error="skip")
        .to(list)
        .run(start_method=method)
    )
    assert report.result == [table.size + item for item in (0, 2, 3)]


def die_once(item: int, table: Any, parent: int) -> float:
    if item == 1 and os.getpid() != parent:
        os._exit(3)
    return float(table.sum()) + item
