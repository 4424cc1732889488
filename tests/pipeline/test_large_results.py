"""Results and exceptions of more bytes than a worker's queue of results holds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from stages import same

from conveyor import Failure, Pipeline, Queue, SharedValue
from conveyor.pipeline.worker.failing import tell_failure
from conveyor.pipeline.worker.messages import FAILED

METHODS: list[Any] = ["fork", "spawn", "forkserver"]
WORKERS: list[dict[str, Any]] = [{"workers": 2}, {"threads": 2}, {"concurrency": 2}]
LARGE = 257 * 2**20


def large_for_odd(item: int) -> Any:
    return bytes([item]) * LARGE if item % 2 else item


def large_array(item: int) -> Any:
    return np.full(LARGE, item, "u1")


def large_in_a_tuple(item: int) -> Any:
    return item, bytes([item]) * LARGE


def large_in_many(item: int) -> Iterator[Any]:
    yield item
    yield bytes([item]) * LARGE
    yield item


def raises_large(item: int) -> int:
    if item == 2:
        raise ValueError(item, b"x" * LARGE)
    return item


async def raises_large_async(item: int) -> int:
    return raises_large(item)


class Counts:
    """Makes 32 MiB of an item, and counts what it has made."""

    def __init__(self) -> None:
        self.made = SharedValue("q")

    def __call__(self, item: int) -> Any:
        self.made.add(1)
        return np.full(2**25, item % 256, "u1")


class Setup:
    def setup(self) -> None:
        raises_large(2)

    def __call__(self, item: int) -> int:
        return item


def length(value: Any) -> Any:
    if isinstance(value, tuple):
        return length(value[1])
    return len(value) if hasattr(value, "__len__") else value


class TestResults:
    @pytest.mark.parametrize("method", METHODS)
    def test_of_every_kind_of_process(self, method: Any) -> None:
        stage = Pipeline(range(5), ordered=True).map(large_for_odd, workers=2)
        values = [
            (length(value), value[0] if value in (1, 3) else None) for value in stage.map(length).stream()
        ]
        assert [length for length, _ in values] == [0, LARGE, 2, LARGE, 4]
        found = [length(value) for value in stage.stream(start_method=method)]
        assert found == [0, LARGE, 2, LARGE, 4]

    @pytest.mark.parametrize("function", [large_array, large_in_a_tuple, large_in_many])
    def test_whatever_they_are_made_of(self, function: Any) -> None:
        kind = Pipeline([1, 2, 3]).flat_map if function is large_in_many else Pipeline([1, 2, 3]).map
        found = [length(value) for value in kind(function, workers=1, ordered=True).stream()]
        assert found == (
            [1, LARGE, 1, 2, LARGE, 2, 3, LARGE, 3] if function is large_in_many else [LARGE] * 3
        )

    def test_go_on_to_the_next_stage(self) -> None:
        stage = Pipeline([1, 2], ordered=True).map(large_array, workers=1).map(same, workers=1)
        assert [int(array[-1]) for array in stage.stream()] == [1, 2]

    def test_are_still_bounded_together(self) -> None:
        """Who makes many of them is held up by who takes none."""
        counts = Counts()
        values = Pipeline(range(1000)).map(counts, workers=1).stream()
        for taken in range(1, 30):
            next(values)
            assert counts.made.value - taken < 25  # 256 MiB wait to be collected, 64 MiB to be taken
        values.close()  # type: ignore[attr-defined]


class TestExceptions:
    @pytest.mark.parametrize("method", METHODS)
    def test_of_every_kind_of_process(self, method: Any) -> None:
        self.check(Pipeline(range(5), ordered=True).map(raises_large, workers=2), start_method=method)

    @pytest.mark.parametrize("where", WORKERS)
    def test_of_every_kind_of_worker(self, where: dict[str, Any]) -> None:
        function = raises_large_async if "concurrency" in where else raises_large
        self.check(Pipeline(range(5), ordered=True).map(function, **where))

    @staticmethod
    def check(stage: Pipeline[Any], **options: Any) -> None:
        outcomes = list(stage.stream(outcomes=True, **options))
        (failure,) = [one for one in outcomes if isinstance(one, Failure)]
        assert [one for one in outcomes if not isinstance(one, Failure)] == [0, 1, 3, 4]
        error = failure.exception()
        assert type(error) is ValueError
        assert (error.args[0], len(error.args[1])) == (2, LARGE)
        assert len(failure.message) < 10**6
        assert len(failure.traceback) < 10**6
        assert "in raises_large" in failure.traceback

    def test_end_the_run_as_themselves(self) -> None:
        with pytest.raises(ValueError, match="xxx") as caught:
            Pipeline(range(5)).map(raises_large, workers=1).run()
        assert len(caught.value.args[1]) == LARGE
        with pytest.raises(ValueError, match="xxx"):
            Pipeline(range(5)).map(Setup(), workers=1).run()

    def test_are_not_all_kept_by_the_report(self) -> None:
        report = Pipeline([2, 2, 2]).map(raises_large, workers=1, on_error="skip").run()
        assert report.failures == 3
        assert sum(len(failure.pickled or b"") for failure in report.first_failures) < 2**20

    def test_for_which_there_is_no_room_go_without_what_they_carry(self) -> None:
        queue: Queue[Any] = Queue(max_bytes=2**20)
        try:
            raises_large(2)
        except ValueError as error:
            tell_failure(queue.put, FAILED, 0, 3, error)
        kind, link, attempts, pickled, name, message, where, traceback = queue.get(timeout=10)
        assert (kind, link, attempts, pickled, name) == (FAILED, 0, 3, None, "ValueError")
        assert "xxx" in message
        assert where.endswith("in raises_large")
        assert "could not be sent" in traceback
