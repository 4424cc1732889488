"""`flat_map` gives what it has while it goes on, whatever stands behind it."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from stages import double, is_odd, same, span

from conveyor import Failure, Pipeline

METHODS: list[Any] = ["fork", "spawn", "forkserver"]
WHERE: list[dict[str, int]] = [{"workers": 1}, {"workers": 2}, {"threads": 2}]


def count_for_ever(item: int) -> Iterator[int]:
    yield from itertools.count(item)


def count_slowly(item: int) -> Iterator[int]:
    for number in itertools.count(item):
        yield number
        time.sleep(0.02)


def large(item: int) -> Iterator[bytes]:
    for number in range(400):
        yield bytes([number % 256]) * 2**20


def large_in_tuples(item: int) -> Iterator[tuple[str, bytes]]:
    for value in large(item):
        yield "name", value


def length(value: Any) -> int:
    return len(value[1] if isinstance(value, tuple) else value)


def twice(item: int) -> tuple[int, int]:
    return item, -item


def spans_then_fails(item: int) -> Iterator[int]:
    yield from range(item)
    raise ValueError(f"no more than {item}")


def fails_late(item: int) -> int:
    if item % 1_000_000 == 700:
        raise KeyError(item)
    return item


def first(stage: Pipeline[Any], count: int, **options: Any) -> list[Any]:
    values = stage.stream(**options)
    found = list(itertools.islice(values, count))
    values.close()  # type: ignore[attr-defined]
    return found


class TestEndless:
    @pytest.mark.parametrize("where", WHERE)
    @pytest.mark.parametrize("ordered", [True, False])
    def test_before_stages_that_say_nothing(self, where: dict[str, int], ordered: bool) -> None:
        stage = Pipeline([1], ordered=ordered).flat_map(count_for_ever, **where)
        assert first(stage, 5) == [1, 2, 3, 4, 5]
        assert first(stage.map(double), 5) == [2, 4, 6, 8, 10]
        assert first(stage.filter(is_odd).map(double), 5) == [2, 6, 10, 14, 18]
        assert first(stage.flat_map(twice).map(double), 5) == [2, -2, 4, -4, 6]

    @pytest.mark.parametrize("method", METHODS)
    def test_of_every_start_method_before_a_stage_of_its_own(self, method: Any) -> None:
        stage = (
            Pipeline([1]).flat_map(count_for_ever, workers=1).map(double).map(same, workers=1, ordered=True)
        )
        assert first(stage, 3, start_method=method) == [2, 4, 6]

    def test_behind_a_stage_of_the_same_workers(self) -> None:
        stage = Pipeline([1]).map(double, workers=1).flat_map(count_for_ever).map(double)
        assert first(stage, 3) == [4, 6, 8]

    @pytest.mark.parametrize("where", WHERE)
    def test_and_slow(self, where: dict[str, int]) -> None:
        """The first results do not wait for the thousandth, which comes after twenty seconds."""
        began = time.monotonic()
        assert first(Pipeline([0]).flat_map(count_slowly, **where).map(double), 3) == [0, 2, 4]
        assert time.monotonic() - began < 15

    def test_with_a_state_file(self, tmp_path: Path) -> None:
        """What came of an item is handed on before all has come, and the item is not done."""
        seen: list[int] = []
        enough = threading.Event()

        def see(value: int) -> None:
            seen.append(value)
            if len(seen) == 5000:
                enough.set()
                raise EOFError("enough")

        stage = Pipeline([0]).flat_map(count_for_ever, workers=1).map(double).to(see)
        state = tmp_path / "state.db"
        with pytest.raises(EOFError):
            stage.run(resume=state)
        assert enough.is_set()
        assert seen == [2 * number for number in range(5000)]
        again = Pipeline([0]).map(same, workers=1).to(list).run(resume=state)
        assert (again.resumed, again.result) == (0, [0])


class TestManyAndLarge:
    @pytest.mark.parametrize("where", WHERE)
    @pytest.mark.parametrize("function", [large, large_in_tuples])
    def test_results_of_one_item(self, where: dict[str, int], function: Any) -> None:
        stage = Pipeline([1]).flat_map(function, **where)
        assert [length(value) for value in stage.stream()] == [2**20] * 400
        assert list(stage.map(length).stream()) == [2**20] * 400

    @pytest.mark.parametrize("method", METHODS)
    @pytest.mark.parametrize("counts", [[0, 1, 2, 5], [1023, 1024, 1025, 0, 4096], [3000, 3, 70_000]])
    def test_all_come_in_order(self, method: Any, counts: list[int]) -> None:
        expected = [2 * value for count in counts for value in span(count) if value % 2]
        stage = Pipeline(counts, ordered=True).flat_map(span, workers=2).filter(is_odd).map(double)
        assert stage.to(list).run(start_method=method).result == expected

    def test_with_a_state_file_each_item_is_done_when_all_of_it_is(self, tmp_path: Path) -> None:
        counts = [0, 3000, 1, 70_000, 2]
        state = tmp_path / "state.db"
        report = Pipeline(counts).flat_map(span, workers=1).map(double).to(list).run(resume=state)
        assert len(report.result) == sum(counts)
        again = Pipeline(counts).flat_map(span, workers=1).map(double).to(list).run(resume=state)
        assert (again.resumed, again.result) == (5, [])


class TestFailures:
    @pytest.mark.parametrize("where", WHERE)
    def test_of_the_generator_and_of_what_is_behind_it(self, where: dict[str, int]) -> None:
        stage = (
            Pipeline([5, 3000], ordered=True).flat_map(spans_then_fails, name="spans", **where).map(double)
        )
        *_, failure = outcomes = list(stage.stream(outcomes=True))
        assert [one.stage for one in outcomes if isinstance(one, Failure)] == ["spans", "spans"]
        assert isinstance(failure, Failure)
        assert failure.message == "no more than 3000"
        behind = Pipeline([900], ordered=True).flat_map(span, **where).map(fails_late, name="late")
        (failure,) = behind.stream(outcomes=True)
        assert (failure.stage, failure.kind) == ("late", "KeyError")

    def test_an_item_with_few_results_that_fails_gives_none(self) -> None:
        """However long it takes: it may be left out, or be tried again."""
        for options in ({"on_error": "skip"}, {"on_error": "yield"}, {"retries": 1, "backoff": 0.0}):
            stage = Pipeline([3]).flat_map(slow_then_fails, workers=1, **options)
            values = []
            try:
                for value in stage.stream():
                    values.append(value)
            except ValueError:
                assert "retries" in options
            assert [value for value in values if not isinstance(value, Failure)] == []

    def test_results_that_cannot_be_unpickled_cost_their_item_only(self) -> None:
        stage = Pipeline([3000, 7, 5000, 2], ordered=True).flat_map(with_a_bad_one, workers=1)
        outcomes = list(stage.stream(outcomes=True))
        failures = [one for one in outcomes if isinstance(one, Failure)]
        assert [failure.item for failure in failures] == [3000, 5000]
        assert all("cannot be unpickled" in failure.message for failure in failures)
        tail = outcomes[outcomes.index(failures[0]) + 1 :]
        assert tail[:7] == list(range(7))
        assert outcomes[-2:] == [0, 1]


def slow_then_fails(item: int) -> Iterator[int]:
    for number in range(item):
        yield number
        time.sleep(0.1)
    raise ValueError("at last")


class Unreadable:
    def __reduce__(self) -> Any:
        return int, ("not a number",)


def with_a_bad_one(item: int) -> Iterator[Any]:
    for number in range(item):
        yield Unreadable() if number == 2000 else number


class TestUnbatch:
    @pytest.mark.parametrize("behind", [{}, *WHERE])
    def test_what_has_no_end_is_given_as_it_comes(self, behind: dict[str, int]) -> None:
        numbers = Pipeline([itertools.count(), itertools.count()]).unbatch()
        assert first(numbers.map(same, **behind, ordered=True) if behind else numbers, 10_000) == list(
            range(10_000)
        )

    def test_failures_keep_their_place(self) -> None:
        def spread(size: int) -> range:
            if size == 1:
                raise ValueError
            return range(size)

        pipeline = Pipeline([5000, 1, 5000], ordered=True).map(spread, threads=1, on_error="yield").unbatch()
        outcomes = list(pipeline.stream(outcomes=True))
        assert [index for index, value in enumerate(outcomes) if isinstance(value, Failure)] == [5000]
        del outcomes[5000]
        assert outcomes == [*range(5000), *range(5000)]

    def test_an_error_of_the_items_own_is_raised_as_it_is(self) -> None:
        def broken() -> Iterator[int]:
            yield 1
            raise TypeError("mine")

        with pytest.raises(TypeError, match="mine") as caught:
            Pipeline([broken()]).unbatch().to(list).run()
        assert caught.value.__notes__ == ["in stage 'unbatch', in iterating what it got"]

    def test_a_run_that_goes_on_knows_what_was_done(self, tmp_path: Path) -> None:
        pipeline = Pipeline([range(10_000)] * 3).unbatch().map(double, workers=1).reduce(max, 0)
        assert pipeline.run(resume=tmp_path / "state.db").result == 19_998
        again = pipeline.run(resume=tmp_path / "state.db")
        assert (again.resumed, again.taken, again.result) == (3, 0, 19_998)
