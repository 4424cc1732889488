"""Loops, merges and zips in the simulated world: in any order, with any deaths, nothing is lost, and all ends."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from call_log import draw

from conveyor import Again, Failure, Full, Pipeline
from conveyor.pipeline import ItemFailed
from conveyor.pipeline.pipeline_run import PipelineRun
from conveyor.pipeline.testing.broken import Broken
from conveyor.testing import Simulation

SEEDS = 1000
AT_A_TIME = 250


class Visit:
    """Visits an item of a tree, or of a net in which many know the same."""

    def __init__(self, seed: int, is_net: bool, fails: float) -> None:
        self.seed = seed
        self.is_net = is_net
        self.fails = fails

    def children(self, item: str) -> list[str]:
        if self.is_net:
            return [str(int(draw("net", self.seed, item, number) * 12)) for number in range(3)]
        if item.count(".") == 3:
            return []
        return [f"{item}.{number}" for number in range(int(draw("tree", self.seed, item) * 4))]

    def __call__(self, item: str) -> list[Any]:
        if draw("fails", self.seed, item) < self.fails:
            raise ValueError(item)
        found: list[Any] = [f"<{item}>", *map(Again, self.children(item))]
        return found[::-1] if draw("last", self.seed, item) < 0.5 else found

    def whole(self, item: str, failed: set[str]) -> Iterator[str]:
        """All that comes of an item, itself first."""
        found = [item]
        for one in found:
            if one not in failed:
                yield one
                found += [child for child in self.children(one) if not (self.is_net and child in found)]


class Narrow:
    """A sink without room now and then."""

    def __init__(self, seed: int, got: list[Any]) -> None:
        self.seed, self.got, self.asked = seed, got, 0

    def put(self, value: Any, block: bool) -> None:
        self.asked += 1
        if draw("narrow", self.seed, self.asked) < 0.3:
            raise Full
        self.got.append(value)


class Store:
    """Where a run keeps what is done; looks whether it is."""

    def __init__(self, is_done: Callable[[int], bool]) -> None:
        self.starts: list[int] = []
        self.ends: list[int] = []
        self.state: bytes | None = None
        self._is_done = is_done

    def write(self, starts: list[int], ends: list[int], state: bytes | None, keys: object) -> None:
        self.starts, self.ends = list(starts), list(ends)
        for start, end in zip(starts, ends, strict=True):
            for place in range(start, end):
                if not self._is_done(place):
                    raise Broken(f"{place} is said to be done, and not all that came of it is there")

    def close(self) -> None:
        pass


def same(item: Any) -> Any:
    return item


def is_long(item: Any) -> bool:
    return len(item) > 4


def simulation_of(chance: random.Random, seed: int) -> Simulation:
    return Simulation(
        seed,
        deaths=chance.choice((0.0, 0.02, 0.1)),
        delay=(0.0, chance.choice((0.004, 0.2))),
        late=chance.choice((0.0, 0.05, 0.3)),
        interleave=chance.choice((0.0, 0.1, 0.4)),
        source_pause=chance.choice((None, (0.0, 0.001), (0.0, 0.1))),
    )


def options(chance: random.Random) -> dict[str, Any]:
    found: dict[str, Any] = {
        "retries": chance.choice((0, 2)),
        "backoff": chance.choice((0.0, 0.01)),
        "on_error": chance.choice(("skip", "yield", "dead_letter")),
        "ordered": chance.choice((True, False)),
    }
    if chance.random() < 0.3:
        found["threads"] = chance.choice((1, 2))
    else:
        found["workers"] = chance.choice((1, 2, 3, "auto"))
    if found.get("workers") != "auto" and chance.random() < 0.3:
        found["key"] = is_long
    return found


def body_of(chance: random.Random, visit: Visit) -> Pipeline[Any]:
    body: Pipeline[Any] = Pipeline()
    if chance.random() < 0.3:
        body = body.batch(3, seconds=0.02).unbatch()
    if chance.random() < 0.3:
        branch = Pipeline().flat_map(visit, name="visit", **options(chance))
        other = Pipeline().flat_map(visit, name="visit", **options(chance))
        return body.split(is_long, {True: branch, False: other}).merge()
    if chance.random() < 0.3:
        body = body.map(same, **{**options(chance), "on_error": "skip"})
    body = body.flat_map(visit, name="visit", **options(chance))
    return Pipeline().loop(body, unique=visit.is_net) if chance.random() < 0.1 else body


def run_of(
    chance: random.Random, simulation: Simulation, pipeline: Pipeline[Any], store: Any, failed: set[str]
) -> bool:
    """Run it; returns whether somebody ended it early."""
    stops = chance.random() < 0.2
    if stops:
        act = chance.choice((simulation.drain, simulation.halt, simulation.stop, simulation.finish_begun))
        simulation.at(chance.random() * chance.choice((0.05, 0.5)), act)
    run: PipelineRun = simulation.begin(
        pipeline, max_items=chance.choice((1, 2, 100_000)), crash_limit=10**6, store=store
    )
    tell = run.engine.tell

    def note(event: Any) -> None:
        if isinstance(event, ItemFailed):
            failed.add(str(event.failure.item))
        tell(event)

    run.engine.tell = note  # type: ignore[method-assign]
    leaves = chance.choice((1, 5)) if chance.random() < 0.05 else -1
    with closing(simulation.events(run)) as events:
        for count, _ in enumerate(events):
            if count == leaves:
                stops = True
                break
    simulation.check_end()
    return stops


def loop(seed: int) -> bool:
    chance = random.Random(seed)
    visit = Visit(seed, chance.random() < 0.4, chance.choice((0.0, 0.1)))
    seeds = [str(number) for number in range(chance.choice((0, 1, 2, 5)))]
    source: Any = seeds
    got: list[Any] = []
    failed: set[str] = set()
    simulation = simulation_of(chance, seed)
    pipeline = Pipeline(source)
    if chance.random() < 0.3:
        pipeline = pipeline.map(same, threads=chance.choice((1, 2)))
    pipeline = pipeline.loop(body_of(chance, visit), unique=visit.is_net)
    if chance.random() < 0.3:
        pipeline = pipeline.map(same, workers=chance.choice((1, 2)), retries=1000, backoff=0)
    if chance.random() < 0.2:
        pipeline = pipeline.tee(len)
    pipeline = pipeline.to(Narrow(seed, got) if chance.random() < 0.3 else got)

    def is_done(place: int) -> bool:
        wanted = {f"<{one}>" for one in visit.whole(seeds[place], failed)}
        there = {one for one in got if isinstance(one, str)}
        return visit.is_net or wanted <= there  # in a net, what another has seen before belongs to that

    store = Store(is_done) if chance.random() < 0.4 else None
    stops = run_of(chance, simulation, pipeline, store, failed)
    found = Counter(one for one in got if not isinstance(one, Failure))
    wanted: Counter[str] = Counter()
    if visit.is_net:
        reached: dict[str, None] = dict.fromkeys(seeds)
        rest = list(seeds)
        while rest:
            one = rest.pop()
            if one in failed:
                continue
            fresh = [child for child in visit.children(one) if child not in reached]
            reached.update(dict.fromkeys(fresh))
            rest += dict.fromkeys(fresh)
        wanted.update(f"<{one}>" for one in reached if one not in failed)
    else:
        wanted.update(f"<{one}>" for root in seeds for one in visit.whole(root, failed))
    if found - wanted:
        raise Broken(f"came out and should not have: {found - wanted}")
    if wanted - found and not stops:
        raise Broken(f"should have come out: {wanted - found}")
    if not stops and store is not None and sum(store.ends) - sum(store.starts) != len(seeds):
        raise Broken(f"all was done, and what is kept of it is {store.starts}, {store.ends}")
    return stops


def merge(seed: int) -> bool:
    chance = random.Random(seed)
    simulation = simulation_of(chance, seed)
    sources = [[f"{name}{number}" for number in range(chance.choice((0, 1, 4, 9)))] for name in "abcd"]
    sources = sources[: chance.choice((2, 3, 4))]
    failed: set[str] = set()
    got: list[Any] = []
    zips = chance.random() < 0.4
    pipelines: list[Pipeline[Any]] = []
    for some in sources:
        pipeline = Pipeline(list(some) if chance.random() < 0.5 else (one for one in some))
        if chance.random() < 0.5:
            kept = {"ordered": True, "key": None} if zips else {}
            pipeline = pipeline.map(same, **{**options(chance), "retries": 10**6, "backoff": 0.0, **kept})
        pipelines.append(pipeline)
    if zips:
        pipeline = Pipeline.zip(*pipelines)
        wanted = Counter(zip(*sources, strict=False))
    elif chance.random() < 0.3 and len(pipelines) > 2:
        pipeline = Pipeline.merge(pipelines[0], Pipeline.merge(*pipelines[1:]))
        wanted = Counter(one for some in sources for one in some)
    else:
        numbers = [chance.choice((1, 2, 3)) for _ in pipelines]
        how: dict[str, Any] = chance.choice(({}, {"weights": numbers}, {"priorities": numbers}))
        pipeline = Pipeline.merge(*pipelines, **how)
        wanted = Counter(one for some in sources for one in some)
    if chance.random() < 0.5:
        pipeline = pipeline.map(same, workers=chance.choice((1, 2)), retries=10**6, backoff=0, ordered=zips)
    pipeline = pipeline.to(Narrow(seed, got) if chance.random() < 0.3 else got)
    stops = run_of(chance, simulation, pipeline, None, failed)
    found = Counter(got)
    if failed or found - wanted:
        raise Broken(f"came out and should not have: {found - wanted}, failed: {failed}")
    if wanted - found and not stops:
        raise Broken(f"should have come out: {wanted - found}")
    if zips and got != sorted(got):
        raise Broken(f"out of order: {got}")
    return stops


@pytest.mark.parametrize("first", range(0, SEEDS, AT_A_TIME))
@pytest.mark.parametrize("case", [loop, merge])
@pytest.mark.timeout(600)
def test_seeds(case: Callable[[int], bool], first: int) -> None:
    ended_early = 0
    for seed in range(first, first + AT_A_TIME):
        try:
            ended_early += case(seed)
        except Exception as error:
            error.add_note(f"seed {seed} of {case.__name__}")
            raise
    assert AT_A_TIME // 20 < ended_early < AT_A_TIME // 2
