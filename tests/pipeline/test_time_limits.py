"""`timeout=`: whichever item is late, the first of a worker above all, and what a worker's setup has to do with it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conveyor import Failure, ItemTimeout, Pipeline

METHODS: list[Any] = ["fork", "spawn", "forkserver"]
FOR_EVER = 3600.0


class SleepsOn:
    """Sleeps on these items, longer than any test runs; as often as is said, counted in files."""

    def __init__(self, items: set[int], folder: str = "", times: int = 1000) -> None:
        self.items = items
        self.folder = folder
        self.times = times

    def late(self, item: int) -> bool:
        if item not in self.items:
            return False
        for attempt in range(self.times):
            if not self.folder:
                return True
            mark = Path(self.folder, f"{item}-{attempt}")
            if not mark.exists():
                mark.touch()
                return True
        return False

    def __call__(self, item: int) -> int:
        if self.late(item):
            time.sleep(FOR_EVER)
        return item


class SleepsAsync(SleepsOn):
    """The same as a coroutine."""

    async def __call__(self, item: int) -> int:  # type: ignore[override]
        if self.late(item):
            await asyncio.sleep(FOR_EVER)
        return item


class SlowlySetUp:
    """Its setup takes longer than an item may."""

    def setup(self) -> None:
        time.sleep(0.6)

    def __call__(self, item: int) -> int:
        return item


class SlowlySetUpAsync:
    """The same as a coroutine."""

    async def setup(self) -> None:
        await asyncio.sleep(0.6)

    async def __call__(self, item: int) -> int:
        return item


def gives_one_and_stops(item: int) -> Iterator[int]:
    yield item
    if item == 0:
        time.sleep(FOR_EVER)


def parity(item: int) -> int:
    return item % 2


class Stuck:
    """For threads, which cannot be killed: waits for a gate on these items."""

    def __init__(self, items: set[int]) -> None:
        self.items = items
        self.gate = threading.Event()

    def __call__(self, item: int) -> int:
        if item in self.items:
            self.gate.wait(60)
        return item


# The first that a worker gets; the first of its replacement, and of the replacement's; the last; the only one; all.
PLACES: list[tuple[int, set[int]]] = [
    (20, {0}),
    (20, {0, 1, 2}),
    (20, {19}),
    (20, {0, 19}),
    (1, {0}),
    (4, {0, 1, 2, 3}),
]


def check(stage: Pipeline[Any], count: int, late: set[int], **options: Any) -> None:
    outcomes = list(stage.stream(outcomes=True, **options))
    failures = [one for one in outcomes if isinstance(one, Failure)]
    assert {failure.kind for failure in failures} == {"ItemTimeout"}
    assert {failure.item for failure in failures} == late
    assert sorted(one for one in outcomes if not isinstance(one, Failure)) == [
        item for item in range(count) if item not in late
    ]


@pytest.mark.parametrize(("count", "late"), PLACES)
class TestEachPlace:
    @pytest.mark.parametrize("workers", [1, 2])
    def test_of_a_process(self, workers: int, count: int, late: set[int]) -> None:
        ordered = workers == 2
        stage = Pipeline(range(count)).map(SleepsOn(late), workers=workers, timeout=0.3, ordered=ordered)
        check(stage, count, late, start_method="fork")

    def test_of_a_coroutine(self, count: int, late: set[int]) -> None:
        check(Pipeline(range(count)).map(SleepsAsync(late), concurrency=2, timeout=0.3), count, late)

    def test_of_a_thread(self, count: int, late: set[int]) -> None:
        stuck = Stuck(late)
        try:
            check(Pipeline(range(count)).map(stuck, threads=2, timeout=0.3), count, late)
        finally:
            stuck.gate.set()


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_of_a_process_that_is_no_fork(method: Any) -> None:
    check(Pipeline(range(20)).map(SleepsOn({0, 1}), workers=1, timeout=0.3), 20, {0, 1}, start_method=method)


class TestFirstItems:
    def test_ends_the_run_where_nothing_else_is_said(self) -> None:
        with pytest.raises(ItemTimeout, match=r"longer than 0\.3 s") as caught:
            Pipeline(range(5)).map(SleepsOn({0}), workers=1, timeout=0.3).run()
        assert "on item 0" in caught.value.__notes__[0]

    @pytest.mark.parametrize("key", [None, parity])
    def test_are_tried_again(self, key: Any, tmp_path: Path) -> None:
        late = SleepsOn({0, 1, 5}, str(tmp_path), times=2)
        stage = Pipeline(range(10)).map(late, workers=2, key=key, timeout=0.3, retries=2, backoff=0.0)
        report = stage.to(set).run()
        assert report.result == set(range(10))
        assert (report.retries, report.failures) == (6, 0)

    def test_of_which_some_results_have_come(self) -> None:
        stage = Pipeline(range(3)).flat_map(gives_one_and_stops, workers=1, timeout=0.3, on_error="skip")
        report = stage.to(set).run()
        assert {1, 2} <= report.result
        assert report.failures == 1

    def test_in_a_later_stage_and_from_a_slow_source(self) -> None:
        def slow_source() -> Iterator[int]:
            for number in range(3):
                time.sleep(0.4)  # longer than an item may take
                yield number

        stage = (
            Pipeline(slow_source)
            .map(abs, workers=1)
            .map(SleepsOn({0}), workers=1, timeout=0.3, on_error="skip")
        )
        assert stage.to(list).run().result == [1, 2]


class TestSetup:
    """What the setup takes is no item's time, nor work."""

    @pytest.mark.parametrize(
        ("made", "options"),
        [
            (SlowlySetUp, {"workers": 2}),
            (SlowlySetUp, {"threads": 2}),
            (SlowlySetUpAsync, {"concurrency": 2}),
        ],
    )
    def test_is_not_the_first_items_time(self, made: Any, options: dict[str, Any]) -> None:
        report = Pipeline(range(6)).map(made, timeout=0.3, **options).to(set).run()
        assert report.result == set(range(6))
        stage = report.stages[1]
        assert stage.busy_seconds < 0.3
        assert stage.p99 < 0.3
        assert all(slow.seconds < 0.3 for slow in stage.slowest)
        assert all(worker.start_seconds >= 0.6 for worker in stage.workers if worker.items)
        assert all(
            worker.wait_seconds < worker.died - worker.born - 0.6 for worker in stage.workers if worker.died
        )

    @pytest.mark.parametrize("method", METHODS)
    def test_is_named_as_what_held_up_a_short_run(self, method: Any) -> None:
        report = Pipeline(range(3)).map(SlowlySetUp, workers=1).run(start_method=method)
        assert report.bottleneck.startswith("Starting workers took")
