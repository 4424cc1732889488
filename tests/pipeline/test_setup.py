"""`setup()`: whose object it is, how often it is called, and how long it may take."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from living import Living, hang, hang_in_loop, living, open_gate, traces, wait_at_gate
from stages import same

from conveyor import Pipeline, PipelineError, WorkerTimeout

METHODS: list[Any] = ["fork", "spawn", "forkserver"]
HANGS: list[tuple[dict[str, Any], Any]] = [
    ({"workers": 1}, hang),
    ({"threads": 1}, wait_at_gate),
    ({"concurrency": 1}, hang_in_loop),
]


class Counter:
    """Counts how often it was set up, and by whom it is used; says so for each item."""

    def __init__(self) -> None:
        self.setups = 0
        self.seen: list[Any] = []

    def setup(self) -> None:
        self.setups += 1
        self.seen.append("setup")

    def __call__(self, item: int) -> tuple[int, int, int]:
        barrier.wait(30)
        self.seen.append(item)
        return id(self), self.setups, self.seen.count("setup")


class AsyncCounter(Counter):
    async def __call__(self, item: int) -> tuple[int, int, int]:  # type: ignore[override]
        while arrivals.setdefault(id(self), item) is None or len(arrivals) < 4:
            await asyncio.sleep(0.001)
        return id(self), self.setups, self.seen.count("setup")


class TornDownOnly:
    """Has a teardown, and no setup."""

    def __init__(self) -> None:
        self.torn = 0

    def __call__(self, item: int) -> int:
        assert not self.torn
        return item

    def teardown(self) -> None:
        self.torn += 1
        torn.append((id(self), self.torn))


class Locked:
    """Cannot be copied."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.setups = 0

    def setup(self) -> None:
        self.setups += 1

    def __call__(self, item: int) -> int:
        with self.lock:
            return item


class Plain:
    """Has no life, so that all share it, as they would a function."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def __call__(self, item: int) -> int:
        self.seen.append(item)
        return id(self)


barrier = threading.Barrier(4)
arrivals: dict[int, int] = {}
torn: list[tuple[int, int]] = []


class TestEachWorkersOwn:
    def test_object_for_threads(self) -> None:
        given = Counter()
        results = list(Pipeline(range(4)).map(given, threads=4).stream())
        assert len({who for who, _, _ in results}) == 4
        assert {(setups, noted) for _, setups, noted in results} == {(1, 1)}
        assert (given.setups, given.seen) == (0, [])

    def test_object_for_coroutines(self) -> None:
        arrivals.clear()
        given = AsyncCounter()
        results = list(Pipeline(range(4)).map(given, concurrency=4).stream())
        assert len({who for who, _, _ in results}) == 4
        assert {(setups, noted) for _, setups, noted in results} == {(1, 1)}
        assert (given.setups, given.seen) == (0, [])

    def test_object_that_is_only_torn_down(self) -> None:
        torn.clear()
        given = TornDownOnly()
        Pipeline(range(100)).map(given, threads=3).run()
        assert torn
        assert {count for _, count in torn} == {1}
        assert given.torn == 0

    def test_object_of_a_worker_that_may_be_replaced(self, tmp_path: Path) -> None:
        """The thread that is left behind still has the first."""
        given = Living(tmp_path, item=wait_on_zero)
        try:
            stage = Pipeline(range(5)).map(given, threads=1, timeout=0.3, on_error="skip").to(set)
            assert stage.run().result == {1, 2, 3, 4}
        finally:
            open_gate()
        assert traces(tmp_path, "setup") == 2
        assert given.events == []

    @pytest.mark.parametrize("where", [{"workers": 1}, {"threads": 1}, {"threads": 3}])
    def test_object_in_two_stages_is_set_up_once(self, where: dict[str, Any], tmp_path: Path) -> None:
        given = Living(tmp_path)
        report = Pipeline(range(20)).map(given, **where).map(given).run()
        assert report.results == 20
        assert traces(tmp_path, "setup") == traces(tmp_path, "teardown") == len(report.stages[1].workers)

    def test_and_one_without_a_life_is_shared(self) -> None:
        given = Plain()
        assert set(Pipeline(range(50)).map(given, threads=3).stream()) == {id(given)}
        assert sorted(given.seen) == list(range(50))

    @pytest.mark.parametrize("run", ["run", "check"])
    def test_cannot_be_had_where_it_cannot_be_copied(self, run: str) -> None:
        stage = Pipeline(range(5)).map(Locked(), threads=2, name="mine")
        with pytest.raises(PipelineError, match=r"'mine' has up to 2 threads.*lock.*give the class"):
            getattr(stage, run)()
        assert Pipeline(range(5)).map(Locked, threads=2).run().results == 5

    def test_one_worker_alone_uses_the_object_itself(self) -> None:
        given = Locked()
        assert Pipeline(range(5)).map(given, threads=1).run().results == 5
        assert given.setups == 1


def wait_on_zero(item: int) -> None:
    if item == 0:
        wait_at_gate(item)


class TestTimeLimit:
    @pytest.mark.parametrize(("where", "way"), HANGS)
    def test_of_every_kind_of_worker(self, where: dict[str, Any], way: Any, tmp_path: Path) -> None:
        stage = living(where, tmp_path, setup=way)
        try:
            with pytest.raises(WorkerTimeout, match=r"setup\(\) took longer than 0\.3 s") as caught:
                Pipeline(range(5)).map(stage, name="mine", setup_timeout=0.3, **where).run()
        finally:
            open_gate()
        assert caught.value.__notes__ == ["in the setup of a worker of stage 'mine'"]
        report = caught.value.report  # type: ignore[attr-defined]
        assert [worker.end for worker in report.stages[1].workers] == ["could not be set up"]

    @pytest.mark.parametrize("method", METHODS)
    def test_of_every_kind_of_process(self, method: Any, tmp_path: Path) -> None:
        stage = Pipeline(range(5)).map(Living(tmp_path, setup=hang), workers=2, setup_timeout=0.3)
        with pytest.raises(WorkerTimeout):
            stage.run(start_method=method)

    @pytest.mark.parametrize("method", METHODS)
    def test_is_not_of_what_else_a_start_takes(self, method: Any, tmp_path: Path) -> None:
        """An interpreter that starts takes longer than this setup may."""
        stage = Pipeline(range(5)).map(Living(tmp_path), workers=1, setup_timeout=0.05)
        assert stage.run(start_method=method).results == 5

    def test_is_tried_again_as_often_as_items_are(self, tmp_path: Path) -> None:
        stage = Pipeline(range(5)).map(HangsFirst(tmp_path), workers=1, setup_timeout=0.3, retries=1)
        assert stage.to(set).run().result == set(range(5))
        assert traces(tmp_path, "setup") == 2

    @pytest.mark.parametrize("key", [None, abs])
    def test_gives_the_items_of_that_worker_to_others(self, key: Any, tmp_path: Path) -> None:
        stage = Pipeline(range(50), ordered=True).map(
            HangsFirst(tmp_path), workers=2, setup_timeout=0.3, retries=1, key=key
        )
        assert stage.to(list).run().result == list(range(50))

    def test_of_a_teardown_is_another(self, tmp_path: Path) -> None:
        stage = Pipeline(range(5)).map(Living(tmp_path), workers=1, setup_timeout=30, teardown_timeout=30)
        assert "setup at most 30 s, teardown at most 30 s" in str(stage)
        assert stage.run().results == 5

    def test_makes_a_stage_of_its_own(self) -> None:
        stages = Pipeline([1]).map(same, workers=1).map(same, setup_timeout=1).map(same, teardown_timeout=1)
        assert len(stages.run(jobs=1).stages) == 4 + 1


class HangsFirst(Living):
    """The first that is set up hangs."""

    def setup(self) -> None:
        super().setup()
        try:
            Path(self.folder, "hung").open("x").close()
        except FileExistsError:
            return
        hang(None)
