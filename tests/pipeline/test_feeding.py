"""`loop`: stages that feed themselves, and end by themselves."""

from __future__ import annotations

import asyncio
import itertools
import pickle
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from crawling import MOST, Dying, bigger, half_or_done, visit, visit_ring, whole_tree
from stages import double, fail_on_seven, is_odd, merge_add, same

from conveyor import Again, Failure, Pipeline, PipelineError, Queue
from conveyor.pipeline.operators.loop_entry import LoopEntry
from conveyor.pipeline.operators.waiting_list import WaitingList
from conveyor.pipeline.pipeline_run import PipelineRun


async def visit_later(number: int) -> list[Any]:
    await asyncio.sleep(0)
    return list(visit(number))


def fails_for_children_of_two(number: int) -> list[Any]:
    if number in (4, 5):
        raise ValueError(number)
    return list(visit(number))


def endless(number: int) -> list[Any]:
    return [number, Again(number + 1)]


class TestCrawl:
    @pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
    def test_it_ends_by_itself(self, method: Any) -> None:
        report = Pipeline([1]).loop(Pipeline().flat_map(visit, workers=2)).to(list).run(start_method=method)
        assert sorted(report.result) == sorted(whole_tree())
        assert report.taken == 1

    @pytest.mark.parametrize(
        "body",
        [
            Pipeline().flat_map(visit, threads=3),
            Pipeline().map(visit_later, concurrency=5).unbatch(),
            Pipeline().flat_map(visit, workers=2, ordered=True, retries=1, backoff=0),
            Pipeline().flat_map(visit, workers=2, key=is_odd),
            Pipeline().batch(7, seconds=0.01).unbatch().flat_map(visit, workers=1),
            Pipeline()
            .split(
                is_odd,
                {True: Pipeline().flat_map(visit, threads=1), False: Pipeline().flat_map(visit, workers=1)},
            )
            .merge(),
            Pipeline().loop(Pipeline().flat_map(visit, threads=1)),
        ],
    )
    def test_whatever_is_in_it(self, body: Pipeline[Any]) -> None:
        report = Pipeline([1]).map(same, threads=1).loop(body).map(double, workers=1).to(list).run()
        assert sorted(report.result) == [2 * number for number in sorted(whole_tree())]

    def test_many_seeds_that_come_slowly(self) -> None:
        report = Pipeline(iter(range(1, 5000))).loop(Pipeline().map(half_or_done, workers=2)).to(list).run()
        assert all(number % 2 for number in report.result)
        assert len(report.result) == 4999

    def test_each_page_once(self) -> None:
        report = (
            Pipeline([5, 6, 5]).loop(Pipeline().flat_map(visit_ring, workers=2), unique=True).to(list).run()
        )
        assert sorted(report.result) == list(range(200))
        report = Pipeline([8]).loop(Pipeline().flat_map(visit_ring, threads=2), unique=is_odd).to(list).run()
        assert len(report.result) == 2  # one of each key

    def test_nothing_comes(self) -> None:
        assert Pipeline([]).loop(Pipeline().flat_map(visit, workers=1)).to(list).run().result == []

    def test_two_loops(self) -> None:
        first = Pipeline([1]).loop(Pipeline().flat_map(visit, workers=1))
        report = first.loop(Pipeline().map(half_or_done, workers=1)).to(list).run()
        assert len(report.result) == MOST - 1

    def test_failures(self) -> None:
        body = Pipeline().flat_map(fails_for_children_of_two, workers=2, on_error="yield")
        result = Pipeline([1]).loop(body).to(list).run().result
        assert {item.item for item in result if isinstance(item, Failure)} == {4, 5}
        rest = set(whole_tree()) - set(whole_tree(4)) - set(whole_tree(5))
        assert {item for item in result if not isinstance(item, Failure)} == rest
        stops = Pipeline().flat_map(fails_for_children_of_two, workers=2)
        with pytest.raises(ValueError, match=r"4|5"):
            Pipeline([1]).loop(stops).run()

    @pytest.mark.parametrize("method", ["fork", "spawn"])
    def test_workers_that_are_killed(self, method: Any, tmp_path: Path) -> None:
        body = Pipeline().flat_map(Dying(tmp_path), workers=2, retries=1, backoff=0)
        report = Pipeline([1]).loop(body).to(list).run(start_method=method)
        assert sorted(report.result) == sorted(whole_tree())
        assert sum(stage.deaths for stage in report.stages) == 5

    def test_a_slow_consumer_is_no_deadlock(self) -> None:
        results = Pipeline([1]).loop(Pipeline().flat_map(visit, workers=2)).stream()
        assert Counter(results) == Counter(whole_tree())

    def test_a_small_bound_is_no_deadlock(self) -> None:
        body = Pipeline().flat_map(visit, threads=2, ordered=True)
        run = PipelineRun(Pipeline([1]).loop(body).map(same, threads=1), max_items=1, streams=True)
        assert Counter(run.values()) == Counter(whole_tree())


class LeavesAgain:
    """Has something more to visit when it is too late."""

    def __call__(self, number: int) -> list[Any]:
        return [number]

    def teardown(self) -> list[Any]:
        return [Again(5)]


class TestEnds:
    def test_a_teardown_comes_too_late_for_another_round(self) -> None:
        with pytest.raises(
            PipelineError, match=r"'loop' has ended, and a teardown\(\) in it gave Again\(5\)"
        ):
            Pipeline([1]).loop(Pipeline().flat_map(LeavesAgain, workers=1)).run()

    def test_a_drain_ends_what_has_no_end(self) -> None:
        run = PipelineRun(Pipeline([0]).loop(Pipeline().flat_map(endless, workers=1)), streams=True)
        results = run.values()
        first = list(itertools.islice(results, 50))
        assert first == list(range(50))
        run.engine.drain()
        assert len(list(results)) < 1000

    def test_a_failing_source_ends_what_has_no_end(self) -> None:
        def seeds() -> Iterator[int]:
            yield 0
            raise LookupError("no more")

        with pytest.raises(LookupError, match="no more"):
            Pipeline(seeds).loop(Pipeline().flat_map(endless, threads=1)).run()

    def test_an_item_is_acknowledged_when_all_that_came_of_it_is_done(self) -> None:
        queue: Queue[int] = Queue()
        queue.put_many([1, 700])
        queue.shutdown()
        seen: list[int] = []

        def see(number: int) -> None:
            seen.append(number)
            if number == MOST - 1:
                raise LookupError("the last")

        leased = Pipeline(queue, acknowledge="on_result").loop(
            Pipeline().flat_map(visit, threads=1, ordered=True)
        )
        with pytest.raises(LookupError):
            leased.to(see).run()
        assert queue.get_many(10) in ([1], [1, 700])  # its very last descendant was not dealt with
        assert len(seen) >= MOST - 1

    def test_resume(self, tmp_path: Path) -> None:
        tree = Pipeline([1, 1000, 1001]).loop(Pipeline().flat_map(visit, workers=2)).reduce(merge_add, 0)
        total = sum(whole_tree()) + 2001
        assert tree.run(resume=tmp_path / "state.db").result == total
        again = tree.run(resume=tmp_path / "state.db")
        assert (again.taken, again.resumed, again.result) == (0, 3, total)

    def test_resume_does_again_what_was_not_done_to_the_end(self, tmp_path: Path) -> None:
        out: list[int] = []
        run = PipelineRun(
            Pipeline([1000, 0]).loop(Pipeline().flat_map(endless_from_zero, threads=1)).to(out.append),
            resume=tmp_path / "state.db",
            tick=0.005,
        )
        for _ in run.events():
            if len(out) > 100:
                run.engine.drain()
        assert run.checkpoint is not None
        assert run.checkpoint.is_done(0)
        assert not run.checkpoint.is_done(1)

    def test_what_waits_goes_to_files(self) -> None:
        run = PipelineRun(Pipeline([(1, b"")]).loop(Pipeline().flat_map(bigger, threads=1)), streams=True)
        (entry,) = [node for node in run.engine.nodes if isinstance(node, LoopEntry)]
        assert Counter(run.values()) == Counter([1, *range(20, 40), *range(400, 800)])
        assert len(entry.waiting) == 0


def endless_from_zero(number: int) -> list[Any]:
    return [number] if number >= 1000 else [number, Again(0)]


class TestWaitingList:
    def test_first_in_first_out(self) -> None:
        some = WaitingList(most_bytes=100_000)
        blocks = [
            [f"{number}" * 100 for number in range(start, start + 300)] for start in range(0, 30_000, 300)
        ]
        for number, block in enumerate(blocks):
            some.add(list(block), [number] * 300)
        assert some.written > 20_000
        got: list[Any] = []
        whose: list[Any] = []
        for count in itertools.cycle((1, 7, 500)):
            values, origins = some.take(count)
            if not values:
                break
            got += values
            whose += origins or []
            if len(got) % 3 == 0 and len(got) < 2000:
                some.add(["late"], [-1])
        assert [value for value in got if value != "late"] == [value for block in blocks for value in block]
        assert [one for one in whose if one >= 0] == [number for number in range(100) for _ in range(300)]
        assert len(some) == 0

    def test_what_cannot_be_pickled_stays(self) -> None:
        some = WaitingList(most_bytes=1000)
        functions: list[Any] = [lambda: None for _ in range(5000)]
        with pytest.raises((pickle.PicklingError, AttributeError)):
            pickle.dumps(functions)
        some.add(list(functions[:2500]), None)
        some.add(list(functions[2500:]), None)
        assert some.written == 0
        assert some.take(2500)[0] + some.take(2500)[0] == functions

    def test_files_are_closed(self) -> None:
        some = WaitingList(most_bytes=1000)
        for _ in range(10):
            some.add([bytes(1000)] * 2000, None)
        assert some.written
        some.take(5000)
        some.clear()
        assert len(some) == 0


class TestShown:
    def test_as_a_graph(self) -> None:
        loop = Pipeline([1]).loop(Pipeline().flat_map(visit, workers=2).map(same), unique=True).to(list)
        text = str(loop)
        assert "→ loop   each item once" in text
        assert "  │   → flat_map visit   2 processes" in text
        assert '-->|"again"|' in loop.describe().to_mermaid()
        report = loop.run()
        assert [stage.name for stage in report.stages] == [
            "source",
            "loop",
            "visit + same",
            "loop: out",
            "to list",
        ]

    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (
                lambda p: p.loop(visit),
                "loop.. got <function visit.* it must be a Pipeline.. without a source",
            ),
            (lambda p: p.loop(Pipeline([1]).map(same)), "loop.. got a pipeline with the source"),
            (lambda p: p.loop(Pipeline()), "without a stage"),
            (lambda p: p.loop(Pipeline().map(same).to(list)), "ends in 'to list'"),
            (lambda p: p.loop(Pipeline().split(is_odd, {True: Pipeline()})), r"say merge\(\) behind it"),
            (lambda p: p.loop(Pipeline().batch(5)), "'batch' in the body of loop.. may wait for ever"),
            (lambda p: p.loop(Pipeline().map(same), unique=5), "unique.. got 5"),
            (lambda p: p.loop(Pipeline().map(same), unique=lambda: 1), "is to be called with an item"),
        ],
    )
    def test_arguments(self, make: Any, message: str) -> None:
        with pytest.raises((PipelineError, TypeError), match=message):
            make(Pipeline([1]))

    def test_a_key_that_cannot_be_had(self) -> None:
        with pytest.raises(TypeError, match="unhashable") as caught:
            Pipeline([[1]]).loop(Pipeline().map(fail_on_seven, threads=1), unique=True).run()
        assert "unique= is asked of [1]" in caught.value.__notes__[0]
