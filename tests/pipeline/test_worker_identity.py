"""Who a worker is: its rank, its stage, its seeds, and what its initializer made."""

from __future__ import annotations

import functools
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conveyor import Pipeline, PipelineError, Worker
from conveyor.pipeline.worker.identity import takes_worker

METHODS: list[Any] = ["fork", "spawn", "forkserver"]
WHERE: list[dict[str, Any]] = [{"workers": 2}, {"threads": 2}]


def who(item: int, worker: Worker) -> tuple[int, str, int, int]:
    time.sleep(0.005)
    return worker.rank, worker.stage, worker.count, worker.attempt


async def who_async(item: int, worker: Worker) -> tuple[int, str, int, int]:
    return worker.rank, worker.stage, worker.count, worker.attempt


class Told:
    """Is told who its worker is in each part of its life."""

    def setup(self, worker: Worker) -> None:
        self.worker = worker

    def __call__(self, item: int) -> tuple[int, int, int]:
        if item == 3 and self.worker.attempt == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return item, self.worker.rank, self.worker.attempt


def drawn(item: int) -> tuple[float, float]:
    return random.random(), float(np.random.random())


def drawn_of_worker(item: int, worker: Worker) -> float:
    return worker.rng.random()


async def drawn_of_coroutine(item: int, worker: Worker) -> float:
    return worker.rng.random()


def seeds_of(item: int, worker: Worker) -> tuple[int, int, float]:
    time.sleep(0.005)
    return worker.rank, worker.seed, float(np.random.random())


def connect(worker: Worker) -> str:
    return f"connection {worker.rank}"


def with_state(item: int, worker: Worker) -> tuple[int, str]:
    return worker.rank, worker.state


def fill_global() -> None:
    _filled.append(os.getpid())


def refuse() -> None:
    raise PermissionError("not today")


def count_filled(item: int) -> int:
    return len(_filled)


def name_of(worker: dict[str, str]) -> str:
    """Whose item is called so: it gets no more than the item."""
    return worker["name"]


_filled: list[int] = []


class TestWhoItIs:
    @pytest.mark.parametrize("method", METHODS)
    def test_a_function_asks_by_a_parameter(self, method: Any) -> None:
        report = Pipeline(range(40)).map(who, workers=2, name="mine").to(list).run(start_method=method)
        assert {stage for _, stage, _, _ in report.result} == {"mine"}
        assert {rank for rank, _, _, _ in report.result} <= {0, 1}
        assert {(count, attempt) for _, _, count, attempt in report.result} == {(2, 1)}

    def test_threads_and_coroutines_do(self) -> None:
        report = Pipeline(range(40)).map(who, threads=3).map(who_async, concurrency=2).to(list).run()
        assert {rank for rank, *_ in report.result} <= {0, 1}
        assert {count for _, _, count, _ in report.result} == {2}

    @pytest.mark.parametrize("method", METHODS)
    def test_who_takes_the_place_of_a_dead_one_has_its_rank(self, method: Any) -> None:
        stage = Pipeline(range(8)).map(Told, workers=1, retries=1, backoff=0, ordered=True)
        report = stage.to(list).run(start_method=method)
        assert [rank for _, rank, _ in report.result] == [0] * 8
        assert [attempt for _, _, attempt in report.result] == [1] * 3 + [2] * 5

    def test_ranks_are_those_of_keys(self) -> None:
        stage = Pipeline(range(60)).map(who, workers=3, key=lambda item: item % 3, ordered=True)
        ranks = [rank for rank, *_ in stage.to(list).run().result]
        assert ranks == [0, 1, 2] * 20

    def test_an_item_may_be_called_worker(self) -> None:
        items = [{"name": "Ada"}, {"name": "Grace"}]
        assert Pipeline(items).map(name_of, workers=1, ordered=True).to(list).run().result == ["Ada", "Grace"]

    @pytest.mark.parametrize(
        ("function", "asks"),
        [
            (lambda item, worker: 0, True),
            (lambda item, *, worker: 0, True),
            (lambda item, worker=None: 0, False),
            (lambda item, *, worker=None: 0, False),
            (lambda worker: 0, False),
            (lambda item, **worker: 0, False),
            (functools.partial(lambda a, item, worker: 0, 1), True),
            (functools.partial(lambda item, worker: 0, worker=3), False),
            (Told().setup, False),
            (Told(), False),
            (int, False),
            (len, False),
        ],
    )
    def test_which_functions_ask(self, function: Any, asks: bool) -> None:
        assert takes_worker(function, 1) is asks
        assert takes_worker(Told().setup)

    def test_what_is_given_by_hand_is_not_asked_for(self) -> None:
        pipeline = Pipeline([1]).map(lambda item, worker: worker, workers=1, args=("mine",))
        assert pipeline.to(list).run(start_method="fork").result == ["mine"]
        pipeline = Pipeline([1]).map(lambda item, worker: worker, workers=1, kwargs={"worker": "mine"})
        assert pipeline.to(list).run(start_method="fork").result == ["mine"]
        pipeline = Pipeline([(1, "mine")]).map(lambda item, worker: worker, workers=1, unpack=True)
        assert pipeline.to(list).run(start_method="fork").result == ["mine"]

    def test_an_executor_has_no_ranks(self) -> None:
        from concurrent.futures import ThreadPoolExecutor

        with (
            ThreadPoolExecutor(1) as executor,
            pytest.raises(PipelineError, match="'who' has a parameter 'worker', and an executor"),
        ):
            Pipeline([1]).map(who, executor=executor)


class TestSeeds:
    @pytest.mark.parametrize("method", METHODS)
    def test_of_workers_differ(self, method: Any) -> None:
        np.random.seed(7)  # each copy of this process would draw the same
        report = Pipeline(range(60)).map(seeds_of, workers=3).to(list).run(start_method=method)
        seeds = {rank: seed for rank, seed, _ in report.result}
        assert len(set(seeds.values())) == len(seeds) >= 2
        assert len({number for *_, number in report.result}) == 60

    @pytest.mark.parametrize("method", METHODS)
    def test_of_a_run_have_the_same_numbers_whoever_draws_them(self, method: Any) -> None:
        def run(workers: int, seed: int) -> Any:
            stage = Pipeline(range(50)).map(drawn, workers=workers, ordered=True)
            return stage.to(list).run(start_method=method, seed=seed).result

        first = run(1, 3)
        assert len(set(first)) == 50
        assert first == run(3, 3) != run(1, 4)

    def test_are_for_threads_and_coroutines_too(self) -> None:
        pipeline = Pipeline(range(50))
        ways = [
            pipeline.map(drawn_of_worker, workers=2, ordered=True, name="draw"),
            pipeline.map(drawn_of_worker, threads=3, ordered=True, name="draw"),
            pipeline.map(drawn_of_coroutine, concurrency=5, ordered=True, name="draw"),
        ]
        found = [tuple(way.to(list).run(seed=3).result) for way in ways]
        assert len(set(found)) == 1
        assert len(set(found[0])) == 50

    def test_outlive_a_death_and_a_second_attempt(self, tmp_path: Path) -> None:
        items = range(30)
        plain = Pipeline(items).map(DrawOrDie(""), workers=2, ordered=True, retries=1, backoff=0, name="d")
        dying = Pipeline(items).map(
            DrawOrDie(str(tmp_path)), workers=2, ordered=True, retries=1, backoff=0, name="d"
        )
        assert plain.to(list).run(seed=1).result == dying.to(list).run(seed=1).result
        assert list(tmp_path.iterdir())

    def test_reach_arrays_and_keys(self) -> None:
        items = [np.full(200_000, item) for item in range(6)]
        stage = Pipeline(items).map(
            drawn_of_array, workers=2, ordered=True, key=lambda item: int(item[0]) % 2, retries=1
        )
        assert stage.to(list).run(seed=5).result == stage.to(list).run(seed=5).result
        stage = Pipeline([(item,) for item in items]).map(drawn_of_tuple, workers=2, ordered=True)
        first = stage.to(list).run(seed=5).result
        assert first == stage.to(list).run(seed=5).result
        assert [place for place, _ in first] == list(range(6))

    def test_reach_numpy_that_is_imported_later(self, tmp_path: Path) -> None:
        program = tmp_path / "program.py"
        program.write_text(
            textwrap.dedent("""
            import sys
            from conveyor import Pipeline

            def draw(item):
                import numpy
                return float(numpy.random.random())

            if __name__ == "__main__":
                for workers in (1, 3):
                    print(Pipeline(range(6)).map(draw, workers=workers, ordered=True).to(list).run(seed=1).result)
                assert "numpy" not in sys.modules
            """)
        )
        done = subprocess.run([sys.executable, program], capture_output=True, text=True, check=True)
        one, several = done.stdout.splitlines()
        assert one == several
        assert len(set(one.split(", "))) == 6

    @pytest.mark.parametrize("seed", ["one", 1.5, True])
    def test_are_integers(self, seed: Any) -> None:
        with pytest.raises(TypeError, match=f"seed is {seed!r}; it must be an integer"):
            Pipeline([1]).map(drawn, workers=1).run(seed=seed)
        with pytest.raises(PipelineError, match="seed is -1; it must be 0 or above"):
            Pipeline([1]).map(drawn, workers=1).run(seed=-1)


class DrawOrDie:
    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __call__(self, item: int) -> float:
        drawn = random.random()
        if self.folder and item % 7 == 3:
            mark = Path(self.folder, str(item))
            if not mark.exists():
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
        return drawn


def drawn_of_array(item: Any) -> float:
    return float(np.random.random())


def drawn_of_tuple(item: Any) -> tuple[int, float]:
    return int(item[0][-1]), random.random()


class TestInitializer:
    @pytest.mark.parametrize("method", METHODS)
    @pytest.mark.parametrize("where", WHERE)
    def test_makes_what_functions_use(self, where: dict[str, Any], method: Any) -> None:
        stage = Pipeline(range(20)).map(with_state, initializer=connect, **where)
        for rank, state in stage.to(list).run(start_method=method).result:
            assert state == f"connection {rank}"

    @pytest.mark.parametrize("method", METHODS)
    def test_is_called_once_in_each(self, method: Any) -> None:
        stage = Pipeline(range(20)).map(count_filled, workers=2, initializer=fill_global)
        assert set(stage.to(list).run(start_method=method).result) == {1}

    @pytest.mark.parametrize("where", [*WHERE, {"concurrency": 2}])
    def test_that_fails_is_an_error_of_the_run(self, where: dict[str, Any]) -> None:
        function = who_async if "concurrency" in where else count_filled
        with pytest.raises(PermissionError, match="not today") as caught:
            Pipeline([1]).map(function, initializer=refuse, name="mine", **where).run()
        assert caught.value.__notes__ == ["in the setup of a worker of stage 'mine'"]

    def test_must_be_callable_with_nothing(self) -> None:
        with pytest.raises(TypeError, match=r"initializer\(\) got 3"):
            Pipeline([1]).map(count_filled, initializer=3)  # type: ignore[arg-type]
        with pytest.raises(PipelineError, match="'count_filled' is to be called with 0 arguments"):
            Pipeline([1]).map(count_filled, initializer=count_filled)

    def test_is_described(self) -> None:
        assert "initialized by connect" in str(Pipeline([1]).map(with_state, initializer=connect))
