"""What each kind of stage does with items, in every kind of worker."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest
from stages import (
    Counting,
    MadeByWorkers,
    async_double,
    double,
    endless_results,
    first_of,
    is_odd,
    merge_add,
    pair,
    pid_of,
    same,
    thrice,
    with_key_log,
)

from conveyor import JoinableQueue, Pipeline, ProducerLost, Queue, read_lines

METHODS = ["fork", "spawn", "forkserver"]
EVERY_TYPE: list[Any] = [
    1,
    "a",
    None,
    (1, 2),
    {"k": [b"v"]},
    frozenset({1}),
    2.5,
    range(3),
    (),
    [()],
    True,
    b"",
]


@pytest.mark.parametrize("method", METHODS)
class TestProcesses:
    def test_items_and_results_of_any_type(self, method: Any) -> None:
        items = EVERY_TYPE * 20
        report = Pipeline(items).map(pair, workers=2, ordered=True).to(list).run(start_method=method)
        assert report.result == [(item, item) for item in items]
        assert report.ok

    def test_a_chain_of_all_kinds(self, method: Any) -> None:
        report = (
            Pipeline(range(100), ordered=True)
            .map(double, workers=2)
            .map(same)
            .filter(bool)
            .flat_map(thrice, workers=2)
            .batch(7)
            .unbatch()
            .reduce(merge_add, 0)
            .run(start_method=method)
        )
        assert report.result == 3 * sum(range(0, 200, 2))

    def test_order_is_kept_where_it_is_asked_for(self, method: Any) -> None:
        items = list(range(3000))
        stages = Pipeline(items).map(same, workers=3, ordered=True).filter(is_odd).flat_map(thrice)
        assert list(stages.stream(start_method=method)) == [i for i in items if i % 2 for _ in range(3)]

    def test_setup_and_teardown_once_for_each_worker(self, method: Any, tmp_path: Path) -> None:
        report = Pipeline(range(50)).map(Counting(str(tmp_path)), workers=2).run(start_method=method)
        assert report.results == 50
        names = sorted(path.name for path in tmp_path.iterdir())
        started = [account.pid for account in report.stages[1].workers]
        assert len(names) == 2 * len(started)
        for pid in started:
            assert sum(f"setup-{pid}-" in name for name in names) == 1
            assert sum(f"teardown-{pid}-" in name for name in names) == 1

    def test_a_class_is_made_in_each_worker(self, method: Any) -> None:
        results = list(Pipeline(range(20)).map(MadeByWorkers, workers=2).stream(start_method=method))
        assert sorted(number for number, _ in results) == list(range(20))
        assert os.getpid() not in {pid for _, pid in results}

    def test_the_same_key_goes_to_the_same_worker_in_order(self, method: Any) -> None:
        items = [(f"k{number % 5}", number) for number in range(500)]
        stage = Pipeline(items).map(with_key_log, workers=3, key=first_of)
        seen: dict[str, list[tuple[int, int]]] = {}
        for key, number, pid in stage.stream(start_method=method):
            seen.setdefault(key, []).append((number, pid))
        assert sorted(seen) == ["k0", "k1", "k2", "k3", "k4"]
        for entries in seen.values():
            assert len({pid for _, pid in entries}) == 1
            assert [number for number, _ in entries] == sorted(number for number, _ in entries)
        assert sum(map(len, seen.values())) == 500


class TestWhere:
    def test_a_stage_that_says_nothing_joins_the_one_before(self) -> None:
        report = Pipeline(range(10)).map(double, workers=1).filter(bool).map(pid_of).to(set).run()
        assert len(report.result) == 1
        assert [stage.name for stage in report.stages] == ["source", "double + bool + pid_of", "to set"]

    def test_threads_share_this_process(self) -> None:
        seen = threading.local()
        results = list(
            Pipeline(range(100)).map(lambda item: (item, os.getpid(), id(seen)), threads=4).stream()
        )
        assert sorted(item for item, _, _ in results) == list(range(100))
        assert {(pid, where) for _, pid, where in results} == {(os.getpid(), id(seen))}

    def test_threads_setup_each(self, tmp_path: Path) -> None:
        Pipeline(range(100)).map(Counting(str(tmp_path)), threads=1).run()
        assert {path.name.partition("-")[0] for path in tmp_path.iterdir()} == {"setup", "teardown"}

    def test_coroutines(self) -> None:
        assert sorted(Pipeline(range(500)).map(async_double).stream()) == list(range(0, 1000, 2))
        assert list(Pipeline(range(500)).map(async_double, ordered=True, concurrency=7).stream()) == list(
            range(0, 1000, 2)
        )

    def test_as_many_coroutines_at_a_time_as_said(self) -> None:
        most = now = 0

        async def busy(item: int) -> int:
            nonlocal most, now
            now += 1
            most = max(most, now)
            for _ in range(20):
                await asyncio.sleep(0)
            now -= 1
            return item

        assert sorted(Pipeline(range(300)).map(busy, concurrency=9).stream()) == list(range(300))
        assert 1 < most <= 9

    def test_workers_auto(self) -> None:
        report = (
            Pipeline(range(3000)).map(same, workers="auto").map(double, workers="auto").to(list).run(jobs=3)
        )
        assert sorted(report.result) == list(range(0, 6000, 2))
        assert sum(stage.size for stage in report.stages) <= 4


class TestSources:
    def test_generator_function_and_generator(self) -> None:
        def numbers() -> Iterator[int]:
            yield from range(1000)

        for source in (numbers, numbers()):
            assert sorted(Pipeline(source).map(double, workers=2).stream()) == list(range(0, 2000, 2))

    def test_a_generator_that_waits_for_the_results_of_what_it_gave(self) -> None:
        came = threading.Semaphore(0)

        def one_by_one() -> Iterator[int]:
            for number in range(20):
                yield number
                assert came.acquire(timeout=60)

        results = []
        for value in Pipeline(one_by_one).map(same, workers=2).stream():
            results.append(value)
            came.release()
        assert results == list(range(20))

    def test_a_generator_is_closed(self) -> None:
        closed = threading.Event()

        def endless() -> Iterator[int]:
            try:
                while True:
                    yield 1
            finally:
                closed.set()

        values = Pipeline(endless).map(same, workers=1).stream()
        next(values)
        values.close()  # type: ignore[attr-defined]
        assert closed.wait(60)

    def test_async_generator(self) -> None:
        async def numbers() -> AsyncIterator[int]:
            for number in range(300):
                if number % 100 == 0:
                    await asyncio.sleep(0)
                yield number

        assert sorted(Pipeline(numbers).map(same, workers=1).stream()) == list(range(300))
        assert sorted(Pipeline(numbers()).map(async_double).stream()) == list(range(0, 600, 2))

    @pytest.mark.parametrize("make", [Queue, JoinableQueue])
    def test_a_queue_until_its_end(self, make: Any) -> None:
        queue: Any = make()
        queue.put_many(range(500))
        queue.shutdown()
        assert sorted(Pipeline(queue).map(same, workers=2).stream()) == list(range(500))

    def test_a_queue_that_is_filled_meanwhile(self) -> None:
        queue: Queue[int] = Queue(maxsize=10)

        def fill() -> None:
            with queue.producing():
                for number in range(300):
                    queue.put(number)

        thread = threading.Thread(target=fill)
        thread.start()
        assert sorted(Pipeline(queue).map(same, workers=2).stream()) == list(range(300))
        thread.join()

    def test_a_lost_producer_surfaces(self, tmp_path: Path) -> None:
        queue: Queue[int] = Queue()
        pid = os.fork()
        if pid == 0:
            with queue.producing():
                queue.put(1)
                os._exit(1)
        os.waitpid(pid, 0)
        seen = []
        with pytest.raises(ProducerLost):
            for value in Pipeline(queue).map(same, workers=1).stream():
                seen.append(value)
        assert seen == [1]

    def test_lines_of_a_file(self, tmp_path: Path) -> None:
        path = tmp_path / "lines"
        path.write_bytes(b"a\nb\xff\n\nlast")
        assert list(Pipeline(read_lines(path)).map(same, workers=1).stream()) == ["a", "b\udcff", "", "last"]
        assert list(Pipeline(read_lines(path, encoding=None)).stream()) == [b"a", b"b\xff", b"", b"last"]

    def test_what_the_source_raises_comes_after_what_it_gave(self) -> None:
        def breaks() -> Iterator[int]:
            yield from range(10)
            raise ZeroDivisionError("in the source")

        async def breaks_too() -> AsyncIterator[int]:
            for number in range(10):
                yield number
            raise ZeroDivisionError("in the source")

        for source in (breaks, breaks_too, iter(breaks())):
            seen = []
            with pytest.raises(ZeroDivisionError, match="in the source"):
                for value in Pipeline(source).map(same, workers=2).stream():
                    seen.append(value)
            assert sorted(seen) == list(range(10))

    def test_no_more_is_read_than_is_needed(self) -> None:
        read = 0

        def numbers() -> Iterator[int]:
            nonlocal read
            while True:
                read += 1
                yield read

        stream = Pipeline(numbers).map(Slow(), workers=2).stream()
        for _ in range(5):
            next(stream)
        assert read < 100
        stream.close()  # type: ignore[attr-defined]


class Slow:
    """Takes a hundredth of a second."""

    def __call__(self, item: Any) -> Any:
        threading.Event().wait(0.01)
        return item


class TestEnds:
    def test_collections(self) -> None:
        source = Pipeline(range(10)).map(same, workers=1)
        assert source.to(set).run().result == set(range(10))
        assert source.to(tuple).run().result == tuple(range(10))
        into: list[int] = [-1]
        source.to(into).run()
        assert into == [-1, *range(10)]
        assert Pipeline(range(3)).map(pair, workers=1).to(dict).run().result == {0: 0, 1: 1, 2: 2}

    def test_function(self) -> None:
        seen: list[int] = []
        Pipeline(range(10)).map(same, workers=1).to(seen.append).run()
        assert seen == list(range(10))

    def test_file(self, tmp_path: Path) -> None:
        path = tmp_path / "out"
        Pipeline(["text", b"bytes", {"a": 1}, None]).to(path).run()
        assert path.read_text() == 'text\nbytes\n{"a":1}\nnull\n'
        with path.open("w") as file:
            Pipeline(["x"]).to(file).run()
            assert not file.closed
        assert path.read_text() == "x\n"

    def test_a_full_queue_holds_up_the_pipeline(self) -> None:
        out: Queue[int] = Queue(maxsize=3)
        got: list[int] = []

        def take() -> None:
            for _ in range(200):
                got.append(out.get(timeout=60))

        thread = threading.Thread(target=take)
        thread.start()
        Pipeline(range(200)).map(same, workers=2, ordered=True).to(out).run()
        thread.join()
        assert got == list(range(200))

    def test_tee(self) -> None:
        seen: list[int] = []
        assert (
            Pipeline(range(10)).map(same, workers=1).tee(seen).to(list).run().result
            == list(range(10))
            == seen
        )

    def test_what_the_end_raises_comes_out(self) -> None:
        with pytest.raises(ZeroDivisionError) as caught:
            Pipeline(range(10)).map(same, workers=1).to(lambda item: item / 0, name="mine").run()
        assert any("mine" in note for note in caught.value.__notes__)

    def test_results_nobody_wants(self) -> None:
        report = Pipeline(range(1000)).map(same, workers=2).run()
        assert (report.results, report.result) == (1000, None)


class TestSplit:
    def test_branches_and_merge(self) -> None:
        branches = {
            0: Pipeline().map(double, workers=1),
            1: Pipeline(),
            2: Pipeline().filter(is_odd, workers=1),
        }
        report = Pipeline(range(300)).split(lambda item: item % 3, branches).merge().to(list).run()
        expected = (
            [2 * i for i in range(0, 300, 3)]
            + list(range(1, 300, 3))
            + [i for i in range(2, 300, 3) if i % 2]
        )
        assert sorted(report.result) == sorted(expected)

    def test_branches_with_ends_of_their_own(self) -> None:
        odd: list[int] = []
        rest: list[int] = []
        Pipeline(range(10)).split(is_odd, {True: Pipeline().to(odd)}, otherwise=Pipeline().to(rest)).run()
        assert (odd, rest) == ([1, 3, 5, 7, 9], [0, 2, 4, 6, 8])


class TestBatches:
    def test_sizes(self) -> None:
        assert list(Pipeline(range(10)).batch(4).stream()) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]

    def test_a_batch_that_does_not_fill_up_goes_on_in_time(self) -> None:
        queue: Queue[int] = Queue()
        queue.put_many([1, 2, 3])
        batches = Pipeline(queue).batch(100, seconds=0.05).stream()
        assert next(batches) == [1, 2, 3]
        queue.shutdown()
        assert list(batches) == []


class TestMemory:
    def test_arrays_pass_through_stages(self) -> None:
        arrays = [numpy.full((256, 1024), number, "i4") for number in range(12)]
        stages = (
            Pipeline(arrays, ordered=True).map(same, workers=1).map(double, workers=1).map(same, workers=1)
        )
        for number, array in enumerate(stages.stream()):
            assert array.shape == (256, 1024)
            assert (array == 2 * number).all()

    def test_an_item_with_endless_results(self) -> None:
        stream = Pipeline([1]).flat_map(endless_results, workers=1).stream()
        assert sum(len(next(stream)) for _ in range(100_000)) == 10**8
        stream.close()  # type: ignore[attr-defined]
