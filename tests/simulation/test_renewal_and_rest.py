"""Renewed workers, what they still have, and which is the last, in any order in which it may happen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from conveyor import Pipeline, Worker
from conveyor.pipeline.testing.simulation import Simulation

ITEMS = range(23)


class Hoard:
    """Keeps its items until its end, and says who it was."""

    def __init__(self) -> None:
        self.items: list[int] = []

    def __call__(self, item: int) -> list[int]:
        self.items.append(item)
        return []

    def teardown(self, worker: Worker) -> Iterator[tuple[int, int, bool, list[int]]]:
        yield worker.rank, worker.attempt, worker.is_last, self.items


def simulation(seed: int) -> Simulation:
    return Simulation(
        seed, late=(0.0, 0.05, 0.3)[seed % 3], interleave=(0.0, 0.1, 0.4)[seed % 3], delay=lambda *_: 0.002
    )


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize(
    "options",
    [
        {"workers": 3},
        {"threads": 2},
        {"workers": 2, "max_items_per_worker": 4},
        {"threads": 3, "max_items_per_worker": 1},
        {"workers": 3, "max_worker_memory": "512MiB"},
        {"workers": 2, "max_items_per_worker": 3, "key": lambda item: item % 5},
    ],
)
def test_each_item_is_in_one_hoard_and_one_worker_is_the_last(options: dict[str, Any], ordered: bool) -> None:
    for seed in range(60):
        got: list[tuple[int, int, bool, list[int]]] = []
        simulation(seed).run(
            Pipeline(ITEMS)
            .flat_map(Hoard, ordered=ordered, **options)
            .map(_same, workers=1, ordered=True)
            .to(got)
        )
        found = sorted(item for *_, items in got for item in items)
        assert found == list(ITEMS), seed
        assert [is_last for _, _, is_last, _ in got].count(True) == 1, seed
        assert len({(rank, attempt) for rank, attempt, _, _ in got}) == len(got), seed
        if ordered:
            assert got == sorted(got, key=lambda each: each[:2]), seed
        if most := options.get("max_items_per_worker"):
            assert max(len(items) for *_, items in got) <= most, seed


def _same(given: Any) -> Any:
    return given


def test_no_two_workers_have_a_rank_at_a_time() -> None:
    for seed in range(60):
        world = simulation(seed)
        stage = Pipeline(range(40)).map(_same, workers=3, max_items_per_worker=2)
        run = world.begin(stage.to([]))
        (node,) = run.engine.works

        def look(node: Any = node, seed: int = seed) -> None:
            ranks = [handle.place for handle in node.pool.handles]
            assert len(set(ranks)) == len(ranks), seed
            assert set(ranks) <= {0, 1, 2}, seed

        world.world.checks.append(look)
        for _ in world.events(run):
            pass
        assert node.pool.renewed >= 40 // 2 - 3
