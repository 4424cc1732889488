"""A pipeline as a value: what is found wrong before it runs, how it is shown, and who does the work with `auto`."""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from stages import FailsTimes, MadeByWorkers, async_double, double, is_odd, merge_add, same

from conveyor import Pipeline, PipelineError, Queue
from conveyor.pipeline.progress.progress import Progress

COPIES: list[Any] = ["spawn", "forkserver"]


def two(one: Any, other: Any) -> Any:
    return one


class NeedsArguments:
    def __init__(self, path: str) -> None:
        self.path = path

    def __call__(self, item: Any) -> Any:
        return item


@pytest.mark.parametrize("method", COPIES)
class TestWhatCannotBeSent:
    @pytest.fixture(autouse=True)
    def without_cloudpickle(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """With it lambdas and local functions can be: test_by_value.py."""
        monkeypatch.setitem(sys.modules, "cloudpickle", None)

    def test_a_lambda(self, method: Any) -> None:
        pipeline = Pipeline([1]).map(double, workers=1).map(lambda item: item, workers=1)
        with pytest.raises(
            PipelineError, match=rf"stage '<lambda>' .* started by {method}: a lambda .* by def"
        ) as caught:
            pipeline.run(start_method=method)
        assert "threads=" in str(caught.value)
        pipeline.check("fork")
        assert list(pipeline.stream(start_method="fork")) == [2]

    def test_a_local_function(self, method: Any) -> None:
        def local(item: int) -> int:
            return item

        with pytest.raises(
            PipelineError, match=r"stage 'mine' cannot be sent .* define it by def at the top"
        ):
            Pipeline([1]).map(local, workers=1, name="mine").check(method)

    def test_an_object_with_a_lock(self, method: Any) -> None:
        with pytest.raises(PipelineError, match="stage 'MadeByWorkers' cannot be sent"):
            Pipeline([1]).map(MadeByWorkers(), workers=1).check(method)
        Pipeline([1]).map(MadeByWorkers, workers=1).check(method)

    def test_in_a_branch(self, method: Any) -> None:
        branches = {True: Pipeline().map(lambda item: item, workers=1), False: Pipeline()}
        with pytest.raises(PipelineError, match="'<lambda>'"):
            Pipeline([1]).split(is_odd, branches).merge().check(method)

    def test_what_stays_here_need_not_be(self, method: Any) -> None:
        stages = Pipeline([1]).map(lambda item: item, threads=1).to(lambda item: None)
        assert stages.run(start_method=method).results == 1

    def test_a_queue_inside_a_stage_can(self, method: Any) -> None:
        queue: Queue[int] = Queue()
        Pipeline([1, 2]).map(PutsInto(queue), workers=1).run(start_method=method)
        assert [queue.get(timeout=10), queue.get(timeout=10)] == [1, 2]


class PutsInto:
    def __init__(self, queue: Queue[int]) -> None:
        self.queue = queue

    def __call__(self, item: int) -> None:
        self.queue.put(item)


class TestArguments:
    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (lambda p: p.map(two), "stage 'two' is to be called with an item, and missing a required"),
            (lambda p: p.map(functools.partial(two, 1, 2)), "stage 'two' is to be called with an item"),
            (lambda p: p.map(NeedsArguments), r"a worker makes its object by NeedsArguments\(\)"),
            (lambda p: p.filter(lambda: True), "stage '<lambda>' is to be called with an item"),
            (lambda p: p.reduce(same, 0), "stage 'same' is to be called with 2 arguments"),
            (lambda p: p.reduce(merge_add), "reduce.. needs the value to begin with"),
            (lambda p: p.map(same, workers=0), "workers of 'same' is 0; it must be at least 1"),
            (lambda p: p.map(same, workers=2, threads=2), "has workers and threads; only one of them"),
            (lambda p: p.map(same, concurrency=2), "is no async def; give workers= or threads="),
            (
                lambda p: p.map(async_double, workers=2),
                "is async; give concurrency= in the place of workers=",
            ),
            (lambda p: p.filter(async_double), "is async, and filter.. takes a plain function"),
            (lambda p: p.map(same, retries=-1), "retries of 'same' is -1"),
            (lambda p: p.map(same, timeout=0), "timeout of 'same' is 0"),
            (lambda p: p.map(same, on_error="ignore"), "on_error of 'same' is 'ignore'; it must be 'stop'"),
            (lambda p: p.map(same, key=hash, workers="auto"), "has a key; it needs a fixed number"),
            (lambda p: p.batch(0), "size of 'batch' is 0"),
            (lambda p: p.merge(), "merge.. must follow a split"),
            (lambda p: p.split(is_odd, {}), "split.. got no branches"),
            (lambda p: p.split(is_odd, {1: Pipeline([1])}), "must be a Pipeline.. without a source"),
            (lambda p: p.split(is_odd, {1: Pipeline()}).map(same), "say merge.. first"),
            (lambda p: p.to(list).map(same), "where all items end; use tee"),
            (lambda p: p.to(5), "results cannot go to a int, 5"),
        ],
    )
    def test_are_checked_where_they_are_given(self, make: Any, message: str) -> None:
        with pytest.raises(PipelineError, match=message):
            make(Pipeline([1]))

    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (lambda: Pipeline("text"), "would be taken apart into characters"),
            (lambda: Pipeline(5), "the source is 5, a int; it must be an iterable"),
            (lambda: Pipeline([1]).map(async_double(1)), "got a coroutine; give the async function itself"),
            (lambda: Pipeline([1]).map(3), "got 3, a int; it takes a function"),
            (
                lambda: Pipeline([1]).map(same, workers="many"),
                "workers of 'same' is 'many'; it must be an integer",
            ),
            (lambda: Pipeline([1]).filter(same, worker=2), "unexpected keyword argument 'worker'"),
        ],
    )
    def test_of_the_wrong_type(self, make: Any, message: str) -> None:
        with pytest.raises(TypeError, match=message):
            make()

    def test_before_a_run(self) -> None:
        with pytest.raises(PipelineError, match="has no source"):
            Pipeline().map(same).run()
        with pytest.raises(PipelineError, match=r"comes out of branch True of 'split' goes nowhere"):
            Pipeline([1]).split(is_odd, {True: Pipeline()}).run()


class TestAsAValue:
    def test_nothing_changes_it(self) -> None:
        source = Pipeline(range(10))
        once, other = source.map(double, workers=1), source.filter(is_odd, workers=1)
        assert list(source.stream()) == list(range(10))
        assert sorted(once.stream()) == sorted(once.stream()) == list(range(0, 20, 2))
        assert sorted(other.stream()) == [1, 3, 5, 7, 9]

    def test_print(self) -> None:
        branches = {True: Pipeline().map(double, threads=2), False: Pipeline()}
        pipeline = (
            Pipeline(range(10), name="mine")
            .map(same, workers=2, ordered=True, retries=3, timeout=30, on_error="skip")
            .filter(bool)
            .map(async_double)
            .split(is_odd, branches)
            .merge()
            .batch(100, seconds=1)
            .to(list)
        )
        text = str(pipeline)
        assert text.splitlines()[0] == "mine"
        for part in (
            "range(0, 10)",
            "map same   2 processes, in order, 3 retries, at most 30 s, errors: skip",
            "filter bool   in the workers of the stage before",
            "map async_double   100 at a time as coroutines",
            "split   by is_odd",
            "├ True",
            "map double   2 threads",
            "batch   of 100, after 1 s at most",
            "to list",
        ):
            assert part in text, text
        assert repr(pipeline) == "<Pipeline 'mine', 7 steps>"

    def test_describe(self) -> None:
        branches = {True: Pipeline().map(double, workers=1), False: Pipeline()}
        graph = (
            Pipeline([1]).map(same, workers=1).map(same, workers=2).split(is_odd, branches).merge().describe()
        )
        names = [vertex.name for vertex in graph.vertices]
        assert len(names) == len(set(names))
        assert names[:3] == ["source", "same", "same 2"]
        edges = {(edge.before, edge.after, edge.label) for edge in graph.edges}
        assert {("source", "same", ""), ("same", "same 2", ""), ("split", "double", "True")} <= edges
        assert ("double", "merge", "") in edges
        assert ("split", "merge", "False") in edges or ("split", "merge", "") in edges
        assert graph.to_mermaid().startswith("flowchart LR\n")


FIRST, SECOND = 0, 1  # which of two stages an item is slow in


def slow_in_first(item: int) -> int:
    time.sleep(0.012 if item == FIRST else 0.0005)
    return item


def slow_in_second(item: int) -> int:
    time.sleep(0.0005 if item == FIRST else 0.012)
    return item


@pytest.mark.parametrize("method", ["fork", *COPIES])
class TestAuto:
    def test_workers_move_towards_the_bottleneck(self, method: Any) -> None:
        pairs: list[tuple[int, int]] = []

        def note(progress: Progress) -> None:
            pairs.append((progress.stages[1].workers, progress.stages[2].workers))

        def moved(to: int) -> bool:
            return any(pair[to] >= 2 and pair[to] > pair[1 - to] for pair in pairs)

        def source() -> Iterator[int]:
            for slow in (FIRST, SECOND):
                for _ in range(10_000):  # a worker's start may take long
                    yield slow
                    if moved(slow):
                        break

        stages = Pipeline(source).map(slow_in_first, workers="auto").map(slow_in_second, workers="auto")
        stages.run(jobs=4, progress=note, start_method=method)
        assert moved(FIRST)
        assert moved(SECOND)
        assert all(first + second <= 4 + 1 for first, second in pairs)  # one may be on its way out


def test_a_state_file_does_not_matter_to_describe(tmp_path: Path) -> None:
    Pipeline(range(3)).map(FailsTimes(str(tmp_path), 0), workers=1).describe()
    assert not list(tmp_path.iterdir())
