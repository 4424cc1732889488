"""`Pipeline.merge` and `Pipeline.zip` of several sources: what comes out, in which order, and how it ends."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from stages import double, endless_results, fail_on_seven, first_of, is_odd, same, sleep_on_seven
from waiting import wait_until

from conveyor import Again, Failure, Pipeline, PipelineError, Queue, Topic
from conveyor.pipeline.pipeline_run import PipelineRun


async def letters() -> AsyncIterator[str]:
    for letter in "xyz":
        yield letter


def next_too(number: int) -> list[Any]:
    return [number, Again(number + 1)]


def queue_of(*items: Any) -> Queue[Any]:
    queue: Queue[Any] = Queue()
    queue.put_many(items)
    queue.shutdown()
    return queue


class Blocking:
    """A generator that gives its first items, and then nothing until it is let go."""

    def __init__(self, *items: Any) -> None:
        self.items = items
        self.gate = threading.Event()

    def __call__(self) -> Iterator[Any]:
        yield from self.items
        assert self.gate.wait(60)


class TestMerge:
    @pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
    def test_sources_of_every_kind_with_stages_of_their_own(self, method: Any) -> None:
        topic: Topic[Any] = Topic()
        with topic.subscribe() as subscription:
            topic.publish("told")
            topic.shutdown()
            merged = Pipeline.merge(
                Pipeline([1, 2]).map(double, workers=1),
                queue_of("a", "b"),
                letters(),
                (number for number in (7, 8)),
                Pipeline(queue_of("leased"), acknowledge="on_result"),
                subscription,
            )
            report = merged.map(same, workers=2).to(list).run(start_method=method)
        assert Counter(report.result) == Counter([2, 4, "a", "b", *"xyz", 7, 8, "leased", "told"])
        assert report.taken == 11

    def test_it_reads_as_a_method_too(self) -> None:
        assert sorted(Pipeline([1]).merge([2], Pipeline([3])).to(list).run().result) == [1, 2, 3]
        nested = Pipeline.merge(Pipeline.merge([1], [2]), Pipeline.zip([3], [4])).merge([5])
        assert sorted(map(str, nested.to(list).run().result)) == ["(3, 4)", "1", "2", "5"]
        split = Pipeline(range(4)).split(is_odd, {True: Pipeline().map(double, workers=1), False: Pipeline()})
        assert sorted(split.merge([10], weights=(1, 1)).to(list).run().result) == [0, 2, 2, 6, 10]

    def test_a_slow_source_holds_up_no_other(self) -> None:
        slow = Blocking("slow")
        results = iter(Pipeline.merge(slow, range(1000), slow).map(same, threads=1).stream())
        found = set(itertools.islice(results, 1002))
        slow.gate.set()
        assert found == {"slow", *range(1000)}
        assert list(results) == []

    def test_weights(self) -> None:
        merged = Pipeline.merge(range(3000), range(-1000, 0), range(10_000, 10_500), weights=(3, 1, 1))
        result = merged.to(list).run().result
        for start in range(0, 2500, 5):  # as long as each has some
            assert [(item >= 0) + (item >= 10_000) for item in result[start : start + 5]] == [1, 1, 1, 0, 2]
        assert Counter(result) == Counter([*range(3000), *range(-1000, 0), *range(10_000, 10_500)])

    def test_weights_of_queues(self) -> None:
        merged = Pipeline.merge(queue_of(*["a"] * 400), queue_of(*["b"] * 400), weights=(1, 3))
        assert merged.to(list).run().result[:400] == ["a", "b", "b", "b"] * 100

    def test_priorities(self) -> None:
        merged = Pipeline.merge(range(1000), queue_of(*range(-50, 0)), priorities=(0, 1))
        assert merged.to(list).run().result == [*range(-50, 0), *range(1000)]

    def test_back_pressure(self) -> None:
        taken: Counter[str] = Counter()

        def endless(name: str) -> Iterator[str]:
            while True:
                taken[name] += 1
                yield name

        results = Pipeline.merge(lambda: endless("a"), lambda: endless("b")).map(same, threads=1).stream()
        assert {next(results) for _ in range(500)} == {"a", "b"}
        results.close()  # type: ignore[attr-defined]
        assert max(taken.values()) < 200_000

    def test_an_error_of_a_source_names_it_and_ends_the_others(self) -> None:
        def bad() -> Iterator[int]:
            yield 1
            raise LookupError("gone")

        endless = Pipeline(itertools.count(), name="numbers")
        with pytest.raises(LookupError, match="gone") as caught:
            Pipeline.merge(endless, Pipeline(bad, name="orders")).map(same, threads=1).run()
        assert "in 'source orders'" in caught.value.__notes__

    def test_what_is_not_finished_goes_back_to_each_queue(self) -> None:
        queues = [Queue[int]() for _ in range(2)]
        for queue in queues:
            queue.put_many(range(5, 10))
            queue.shutdown()
        merged = Pipeline.merge(*(Pipeline(queue, acknowledge="on_result") for queue in queues), [1, 2])
        with pytest.raises(KeyError):
            merged.map(fail_on_seven, workers=1).to(list).run()
        rest = [queue.get_many(10) for queue in queues]
        assert all(7 in some or len(some) == 5 for some in rest)
        assert 7 in rest[0] + rest[1]

    def test_dead_letters_go_to_the_queue_that_they_are_of(self) -> None:
        letters: Queue[Any] = Queue()
        leased: Queue[int] = Queue(dead_letters=letters, max_attempts=1)
        leased.put_many([1, 7])
        leased.shutdown()
        merged = Pipeline.merge([2, 7], Pipeline(leased, acknowledge="on_result"))
        report = merged.map(fail_on_seven, workers=1, on_error="dead_letter").to(list).run()
        assert sorted(report.result) == [1, 2]
        assert report.dead == 2
        assert [letter.item for letter in report.dead_letters] == [7]
        assert letters.get(timeout=5).item == 7

    def test_a_drain_takes_no_more_of_any(self) -> None:
        run = PipelineRun(
            Pipeline.merge(itertools.count(), (-number for number in itertools.count())).map(same, threads=1),
            streams=True,
        )
        results = run.values()
        some = [next(results) for _ in range(10)]
        run.engine.drain()
        some += results
        assert len(some) == run.report().taken == run.report().results

    def test_it_is_shown(self) -> None:
        merged = Pipeline.merge(
            Pipeline([1], name="orders").map(same, workers=1),
            Pipeline([2], name="visits"),
            [3],
            weights=(3, 1, 1),
        )
        text = str(merged)
        assert "source visits   list of 1" in text
        assert "→ merge   3 : 1 : 1 in turn" in text
        names = [vertex.name for vertex in merged.describe().vertices]
        assert names == ["source orders", "same", "source visits", "source 3", "merge"]
        report = merged.run()
        shown = [stage.name for stage in report.stages if stage.name.startswith("source")]
        assert shown == ["source orders", "source visits", "source 3"]
        assert "source visits" in str(report)
        assert [stage.taken for stage in report.stages if stage.is_source] == [1, 1, 1]


class TestZip:
    def test_it_ends_with_the_shortest(self) -> None:
        zipped = Pipeline.zip(
            itertools.count(),
            (letter for letter in "abc"),
            Pipeline([1, 2, 3, 4]).map(double, workers=1, ordered=True),
        )
        assert zipped.to(list).run().result == [(0, "a", 2), (1, "b", 4), (2, "c", 6)]

    def test_what_the_longer_one_had_goes_back(self) -> None:
        queue: Queue[int] = Queue()
        queue.put_many(range(10))
        zipped = Pipeline.zip(["a", "b"], Pipeline(queue, acknowledge="on_result")).map(same, workers=1)
        assert zipped.to(list).run().result == [("a", 0), ("b", 1)]
        assert queue.get_many(10) == list(range(2, 10))

    def test_it_does_not_wait_for_one_that_is_longer_and_slow(self) -> None:
        slow = Blocking(1, 2)
        report = Pipeline.zip(slow, [1, 2]).to(list).run()
        slow.gate.set()
        assert report.result == [(1, 1), (2, 2)]
        assert report.seconds < 30

    @pytest.mark.parametrize("method", ["fork", "spawn"])
    @pytest.mark.parametrize(
        "endless",
        [
            Pipeline([0]).flat_map(endless_results, workers=1),
            Pipeline(itertools.count()).map(same, workers=2),
            Pipeline([0]).loop(Pipeline().flat_map(next_too, workers=1)),
            Pipeline.merge(itertools.count(), [1]),
            Pipeline([1, 2, 7]).map(sleep_on_seven, workers=1),
        ],
    )
    def test_what_has_no_end_is_left(self, endless: Pipeline[Any], method: Any) -> None:
        report = (
            Pipeline.zip([1, 2], endless)
            .map(first_of, workers=1, ordered=True)
            .to(list)
            .run(start_method=method)
        )
        assert report.result == [1, 2]
        assert report.in_flight == 0

    def test_strict(self) -> None:
        assert Pipeline.zip(range(300), range(300), strict=True).to(list).run().result[-1] == (299, 299)
        with pytest.raises(
            ValueError, match="'zip' is strict, and 'zip: source 2' ended after 3 items"
        ) as caught:
            Pipeline.zip(range(4), iter(range(3)), strict=True).to(list).run()
        assert caught.value.report.result == [(0, 0), (1, 1), (2, 2)]  # type: ignore[attr-defined]

    def test_a_failure_takes_the_place_of_its_tuple(self) -> None:
        stage = Pipeline([6, 7, 8]).map(fail_on_seven, workers=1, ordered=True, on_error="yield")
        first, failure, last = (
            Pipeline.zip(stage, ["a", "b", "c"]).map(same, workers=1, ordered=True).to(list).run().result
        )
        assert (first, last) == ((6, "a"), (8, "c"))
        assert isinstance(failure, Failure)
        assert failure.item == 7

    def test_arrays_of_a_slow_consumer_are_not_gathered(self) -> None:
        given = 0

        def blocks() -> Iterator[bytes]:
            nonlocal given
            while True:
                given += 1
                yield bytes(1 << 20)

        results = Pipeline.zip(blocks, itertools.count()).map(same, threads=1).stream()
        next(results)
        wait_until(lambda: given > 1)
        results.close()  # type: ignore[attr-defined]
        assert given < 300


class TestWrong:
    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (lambda: Pipeline.merge([1]), r"merge\(\) must follow a split\(\), or get other sources"),
            (lambda: Pipeline.zip([1]), r"zip\(\) must get other sources"),
            (lambda: Pipeline.merge([1], 5), "the source is 5"),
            (lambda: Pipeline.merge(Pipeline(), [1]), r"pipeline 1 of merge\(\) has no source"),
            (lambda: Pipeline.zip([1], Pipeline([2]).to(list)), "pipeline 2 of zip.. ends in 'to list'"),
            (
                lambda: Pipeline.merge([1], [2], weights=(1,)),
                "weights of merge.. has 1 numbers, and 2 pipelines meet",
            ),
            (
                lambda: Pipeline.merge([1], [2], weights=(1, 0)),
                "weights of merge.. is 0; it must be at least 1",
            ),
            (lambda: Pipeline.merge([1], [2], weights=3), "weights of merge.. is 3; it must be a tuple of 2"),
            (lambda: Pipeline.merge([1], [2], priorities=(1, 0.5)), "priorities of merge.. has 0.5 in it"),
            (lambda: Pipeline.zip([1], [2], strict="yes"), "strict of zip.. is 'yes'"),
            (lambda: Pipeline([1]).split(is_odd, {True: Pipeline()}).zip([2]), r"say merge\(\) first"),
        ],
    )
    def test_arguments(self, make: Any, message: str) -> None:
        with pytest.raises((PipelineError, TypeError), match=message):
            make()
