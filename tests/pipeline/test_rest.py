"""What a worker still has at its end: what `teardown()` gives goes on, and one worker is the last."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from stages import DiesFourTimes, double, same

from conveyor import Pipeline, PipelineError, Queue, Worker, Workers

METHODS: list[Any] = ["fork", "spawn", "forkserver"]
WHERE: list[dict[str, Any]] = [{"workers": 2}, {"threads": 2}]


class Total:
    """Gives nothing for an item, and the sum of all at the end."""

    def __init__(self) -> None:
        self.total = 0

    def setup(self) -> None:
        self.total = 0

    def __call__(self, item: int) -> list[int]:
        self.total += item
        return []

    def teardown(self) -> int:
        return self.total


class Echo:
    """Gives each item, and at the end what it is told to."""

    def __init__(self, given: Any) -> None:
        self.given = given

    def __call__(self, item: Any) -> Any:
        return item

    def teardown(self) -> Any:
        return self.given


class Yields:
    def __call__(self, item: int) -> int:
        return item

    def teardown(self) -> Iterator[int]:
        yield from range(100, 5100)


class YieldsAndRaises(Yields):
    def teardown(self) -> Iterator[int]:
        yield 100
        raise PermissionError("no more")


class Refused:
    def __call__(self, item: int) -> int:
        return item

    def teardown(self) -> Any:
        return [lambda: 0]


class AsyncYields:
    async def __call__(self, item: int) -> int:
        return item

    async def teardown(self) -> AsyncIterator[int]:
        yield 100
        await asyncio.sleep(0)
        yield 101


class AsyncReturns(AsyncYields):
    async def teardown(self) -> list[int]:  # type: ignore[override]
        return [100, 101]


class Footer:
    """The last worker writes a footer."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, item: int) -> int:
        time.sleep(0.002)
        return item

    def teardown(self, worker: Worker) -> None:
        if not worker.is_last:
            time.sleep(0.05)
        Path(self.folder, f"{time.monotonic_ns()}-{worker.rank}-{worker.is_last}").touch()


class AsyncFooter(Footer):
    async def __call__(self, item: int) -> int:  # type: ignore[override]
        await asyncio.sleep(0.001)
        return item


class DiesAtTheEnd(Footer):
    """The worker of rank 0 dies when it has nothing to do any more, before it is told to leave."""

    def setup(self, worker: Worker) -> None:
        if worker.rank == 0 and worker.attempt == 1:
            signal.signal(signal.SIGALRM, _die)
            signal.setitimer(signal.ITIMER_REAL, 0.3)


def _die(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def is_even(item: int) -> bool:
    return item % 2 == 0


def fail_on_hundred(item: int) -> int:
    if item == 100:
        raise ValueError("hundred")
    return item


def lasts(folder: Path) -> list[bool]:
    """Of the workers, in the order of their teardowns, whether they were told that they are the last."""
    return [path.name.endswith("True") for path in sorted(folder.iterdir())]


class TestWhatItGives:
    @pytest.mark.parametrize("method", METHODS)
    def test_goes_on_from_processes_of_every_kind(self, method: Any) -> None:
        stage = Pipeline(range(1000)).flat_map(Total, workers=2).map(double, workers=1).to(list)
        report = stage.run(start_method=method)
        assert 1 <= len(report.result) <= 2
        assert sum(report.result) == 2 * sum(range(1000))
        assert report.stages[1].given == len(report.result)

    def test_goes_on_from_threads(self) -> None:
        report = Pipeline(range(1000)).flat_map(Total(), threads=3).to(list).run()
        assert sum(report.result) == sum(range(1000))

    @pytest.mark.parametrize("kind", [AsyncYields, AsyncReturns])
    def test_goes_on_from_coroutines(self, kind: Any) -> None:
        report = Pipeline(range(10)).map(kind, concurrency=2).to(list).run()
        assert set(report.result) == {*range(10), 100, 101}

    @pytest.mark.parametrize("where", WHERE)
    @pytest.mark.parametrize(
        ("given", "values"),
        [
            (None, []),
            ([1, 2], [1, 2]),
            ((1, 2), [(1, 2)]),
            ("text", ["text"]),
            ({"a": 1}, [{"a": 1}]),
            (0, [0]),
            ([], []),
            ([None], [None]),
        ],
    )
    def test_a_list_is_several_and_all_else_is_one(
        self, given: Any, values: list[Any], where: dict[str, Any]
    ) -> None:
        report = Pipeline(["x"]).map(Echo(given), **where).to(list).run()
        assert report.result == ["x", *values]

    @pytest.mark.parametrize("ordered", [True, False])
    def test_comes_behind_the_items_and_may_be_much(self, ordered: bool) -> None:
        report = Pipeline(range(50)).map(Yields, workers=1, ordered=ordered).to(list).run()
        assert report.result == [*range(50), *range(100, 5100)]

    def test_goes_through_the_functions_that_the_same_workers_call(self) -> None:
        stage = Pipeline(range(10)).map(Yields, workers=1).filter(is_even).map(double)
        assert stage.to(list).run().result == [2 * n for n in (*range(0, 10, 2), *range(100, 5100, 2))]

    def test_what_these_raise_about_it_ends_the_run(self) -> None:
        stage = Pipeline(range(10)).map(Yields, workers=1).map(fail_on_hundred, on_error="skip")
        with pytest.raises(ValueError, match="hundred") as caught:
            stage.to(list).run()
        assert caught.value.__notes__ == ["in the teardown of a worker of stage 'fail_on_hundred'"]

    def test_a_later_stage_takes_it_for_an_item(self) -> None:
        stage = Pipeline(range(10)).map(Yields, workers=1).map(fail_on_hundred, workers=1, on_error="skip")
        report = stage.to(list).run()
        assert (len(report.result), report.failures) == (10 + 4999, 1)

    def test_before_it_raises_is_kept(self) -> None:
        results: list[int] = []
        with pytest.raises(PermissionError, match="no more"):
            Pipeline(range(3)).map(YieldsAndRaises, workers=1).to(results).run()
        assert sorted(results) in ([0, 1, 2], [0, 1, 2, 100])

    def test_that_cannot_be_sent_is_an_error(self) -> None:
        with pytest.raises(Exception, match="pickle") as caught:
            Pipeline(range(3)).map(Refused, workers=1).to(list).run()
        assert "in the teardown" in "".join(caught.value.__notes__)

    @pytest.mark.parametrize("where", WHERE)
    def test_with_renewal_nothing_is_lost(self, where: dict[str, Any]) -> None:
        stage = Pipeline(range(500)).flat_map(Total(), max_items_per_worker=30, ordered=True, **where)
        report = stage.to(list).run()
        assert sum(report.result) == sum(range(500))
        assert report.renewed >= 14
        assert len(report.result) >= report.renewed

    def test_a_worker_that_died_has_nothing(self, tmp_path: Path) -> None:
        stage = (
            Pipeline(range(100))
            .map(DiesFourTimes(str(tmp_path)), workers=2, retries=1, backoff=0)
            .map(Echo([-1]), workers=1)
        )
        assert sorted(stage.to(list).run().result) == [-1, *range(100)]

    def test_through_a_split_batches_and_a_full_sink(self) -> None:
        queue: Queue[list[int]] = Queue(maxsize=1)
        stage = Pipeline(range(100)).map(Yields, workers=1).batch(100)
        got: list[int] = []
        for batch in stage.stream():
            got += batch
        assert sorted(got) == sorted([*range(100), *range(100, 5100)])
        odd: list[int] = []
        branches = {0: Pipeline().map(Echo([-2]), workers=1), 1: Pipeline().to(odd)}
        split = Pipeline(range(10)).map(same, workers=1).split(lambda item: item % 2, branches)
        assert sorted(split.merge().to(list).run().result) == [-2, *range(0, 10, 2)]
        queue.close()

    def test_in_a_stream_that_is_left_it_is_dropped(self) -> None:
        values = Pipeline(range(10_000)).map(Yields, workers=2).stream()
        assert next(values) < 10_000
        values.close()  # type: ignore[attr-defined]

    def test_a_run_with_a_state_file_refuses_it(self, tmp_path: Path) -> None:
        state = tmp_path / "state.db"
        with pytest.raises(
            PipelineError, match=r"the teardown\(\) of stage 'Yields' gives results, and the run"
        ):
            Pipeline(range(10)).map(Yields, workers=1).to(list).run(resume=state)
        with pytest.raises(
            PipelineError, match=r"the teardown\(\) of stage 'Echo' gives results, and the run"
        ):
            Pipeline(range(10)).map(Echo([1]), workers=1).to(list).run(resume=state)
        assert Pipeline(range(10)).map(Echo(None), workers=1).to(list).run(resume=tmp_path / "other.db").ok

    def test_workers_that_stay_refuse_it(self) -> None:
        workers = Workers(1)
        assert workers.map(Echo([1]), [1, 2]) == [1, 2]
        with pytest.raises(PipelineError, match=r"a teardown\(\) gave results, and its worker stays"):
            workers.close()


class TestTheLast:
    @pytest.mark.parametrize("method", METHODS)
    def test_is_one_that_comes_when_all_others_have_torn_down(self, method: Any, tmp_path: Path) -> None:
        stage = Pipeline(range(200)).map(Footer(tmp_path), workers=3)
        assert len(stage.to(list).run(start_method=method).result) == 200
        found = lasts(tmp_path)
        assert found == [False] * (len(found) - 1) + [True]

    @pytest.mark.parametrize(("kind", "where"), [(Footer, {"threads": 3}), (AsyncFooter, {"concurrency": 3})])
    def test_in_threads_and_coroutines(self, kind: Any, where: dict[str, Any], tmp_path: Path) -> None:
        Pipeline(range(200)).map(kind(tmp_path), **where).map(same, workers=1).to(list).run()
        assert lasts(tmp_path) == [False, False, True]

    @pytest.mark.parametrize("workers", [1, 2])
    def test_is_there_though_all_were_renewed(self, workers: int, tmp_path: Path) -> None:
        report = (
            Pipeline(range(20)).map(Footer(tmp_path), workers=workers, max_items_per_worker=5).to(list).run()
        )
        assert len(report.result) == 20
        found = lasts(tmp_path)
        assert found == [False] * (len(found) - 1) + [True]

    def test_is_another_if_it_dies_before(self, tmp_path: Path) -> None:
        def slowly() -> Iterator[int]:
            yield from range(10)
            time.sleep(1)

        report = Pipeline(slowly).map(DiesAtTheEnd(tmp_path), workers=1).to(list).run()
        assert report.deaths == 1
        assert lasts(tmp_path) == [True]

    def test_is_nobody_where_nobody_worked(self, tmp_path: Path) -> None:
        assert Pipeline([]).map(Footer(tmp_path), workers=2).to(list).run().result == []
        assert lasts(tmp_path) == []

    def test_is_nobody_in_a_run_that_fails(self, tmp_path: Path) -> None:
        stage = Pipeline(range(200)).map(Footer(tmp_path), workers=2).map(fail_on_hundred, workers=1)
        with pytest.raises(ValueError, match="hundred"):
            stage.to(list).run()
        assert True not in lasts(tmp_path)

    def test_keyed_stages_have_one(self, tmp_path: Path) -> None:
        stage = Pipeline(range(60)).map(Footer(tmp_path), workers=3, key=lambda item: item % 3)
        stage.to(list).run()
        assert lasts(tmp_path) == [False, False, True]
