"""Case: a pipeline, a world and what happens in it, all of one seed."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from call_log import CallLog, Function, LivingFunction, draw, elements
from memory_store import MemoryStore

from conveyor import Failure, Full, Pipeline
from conveyor.pipeline.testing.simulation import Simulation

_TEE = "tee"


@dataclass
class Stage:
    """What the workers of one stage do, one function after the other."""

    functions: list[Function]
    on_error: dict[str, str]
    ordered: bool


@dataclass
class Branches:
    """A split whose branches meet again."""

    by: Callable[[str], int]
    stages: list[Stage | None]


@dataclass
class Case:
    """One run."""

    seed: int
    log: CallLog
    simulation: Simulation
    pipeline: Pipeline[Any]
    steps: list[Stage | Branches]
    source: list[str]
    got: list[Any] = field(default_factory=list)
    """What came out, as the sink took it."""
    options: dict[str, Any] = field(default_factory=dict)
    failed: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Stage and value of what was given up."""
    leaves_after: int = -1
    """Whoever iterates leaves after so many events; -1: never."""
    stops: bool = False
    """Whether somebody ends the run before its end."""
    store: MemoryStore | None = None
    batched: bool = False
    """Whether values were in lists, past which failures go."""

    @property
    def ordered(self) -> bool:
        """Whether what comes out has the source's order."""
        return all(isinstance(step, Stage) and step.ordered for step in self.steps)

    @property
    def has_teardown(self) -> bool:
        """Whether the death of a worker that only leaves is an error."""
        return any(
            isinstance(function, LivingFunction)
            for step in self.steps
            for stage in ([step] if isinstance(step, Stage) else step.stages)
            for function in (stage.functions if stage is not None else ())
        )

    # -- what should come of it -----------------------------------------------------------------------------

    def expected(self, value: str, lax: bool = False) -> Iterator[str]:
        """What comes out for an item of the source, in order; a failure that is passed on is `!stage value`.

        Args:
            value: the item.
            lax: with all that may come out beside: the first of very many results of an item that then failed.
        """
        values = [value]
        for step in self.steps:
            if isinstance(step, Stage):
                values = [made for one in values for made in self._through(step, one, lax)]
            else:
                values = [made for one in values for made in self._branch(step, one, lax)]
        yield from values

    def _branch(self, step: Branches, value: str, lax: bool) -> Iterator[str]:
        stage = None if value.startswith("!") else step.stages[step.by(value)]
        yield from [value] if stage is None else self._through(stage, value, lax)

    def _through(self, stage: Stage, value: str, lax: bool) -> Iterator[str]:
        if value.startswith("!"):
            yield value
            return
        given_up = next((name for name in stage.on_error if self.failed[name, value]), None)
        if given_up is None or (lax and any(function.kind == "flat_map" for function in stage.functions)):
            values = [value]
            for function in stage.functions:
                values = [made for one in values for made in function.pure(one)]
            yield from values
        if given_up is not None and stage.on_error[given_up] == "yield":
            yield f"!{given_up} {value}"

    def is_lost(self, value: str) -> bool:
        """Whether something that came of an item of the source ended the run."""
        return any(
            on_error == "stop" and self.failed[name, one] and one.split(".")[0] == value
            for name, on_error in self._policies()
            for (stage, one) in self.failed
            if stage == name
        )

    def _policies(self) -> Iterator[tuple[str, str]]:
        for step in self.steps:
            for stage in [step] if isinstance(step, Stage) else step.stages:
                if stage is not None:
                    yield from stage.on_error.items()

    def policy(self, stage: str) -> str:
        return next(on_error for name, on_error in self._policies() if name == stage)

    def texts(self) -> list[str]:
        """What came out, as `expected` has it."""
        found: list[str] = []
        for value in self.got:
            for one in elements(value):
                if isinstance(one, Failure):
                    found += [f"!{one.stage} {part}" for part in elements(one.item)]
                else:
                    found.append(one)
        return found


def make_case(seed: int, trace: bool = False, renews: bool = False) -> Case:
    """The case of a seed.

    Args:
        seed: says everything.
        trace: keep what happens.
        renews: workers of some stages are renewed; all else is as without.
    """
    return _Maker(seed, trace, renews).make()


class _Maker:
    def __init__(self, seed: int, trace: bool, renews: bool) -> None:
        self.seed = seed
        self.renewal = random.Random(seed + 2) if renews else None
        self.trace = trace
        self.chance = random.Random(seed)
        self.log = CallLog(seed)
        self.steps: list[Stage | Branches] = []
        self.names = 0
        self.all_ordered = True

    def is_so(self, share: float) -> bool:
        return self.chance.random() < share

    def make(self) -> Case:
        chance = self.chance
        source = [str(number) for number in range(chance.choice((0, 1, 3, 5, 7, 9)))]
        slow, limit = chance.choice(((0.01, None), (0.01, None), (0.3, None), (0.2, 0.1), (1.5, 1.0)))
        self.limit: float | None = limit
        tracked = self.is_so(0.2)
        simulation = Simulation(
            self.seed,
            deaths=chance.choice((0.0, 0.02, 0.05, 0.1)),
            delay=self._delay(slow),
            late=chance.choice((0.0, 0.05, 0.3)),
            interleave=chance.choice((0.0, 0.1, 0.4)),
            memory=0.02 if self.is_so(0.1) else 0.0,
            part_size=chance.choice((1, 2, 1024)),
            source_pause=(0.0, chance.choice((0.001, 0.1))) if not tracked and self.is_so(0.3) else None,
            trace=self.trace,
        )
        self.log.world = simulation.world
        pipeline: Pipeline[Any] = Pipeline(source, ordered=self.is_so(0.5))
        batched = False
        self.batched = False
        for _ in range(chance.choice((1, 1, 2, 2, 3))):
            roll = chance.random()
            if roll < 0.12 and not batched:
                pipeline = pipeline.batch(chance.choice((1, 2, 3)), chance.choice((None, 0.05)))
                batched = self.batched = True
            elif roll < 0.2:
                pipeline = pipeline.tee(_ignore)
            elif roll < 0.3 and not batched:
                pipeline = self._split(pipeline)
                continue
            elif batched and self.is_so(0.5):
                pipeline = pipeline.unbatch()
                batched = False
            pipeline = self._stage(pipeline, batched)
        case = Case(self.seed, self.log, simulation, pipeline, self.steps, source, batched=self.batched)
        self._end(case, tracked)
        return case

    def _delay(self, slow: float) -> Callable[[str, Any], float]:
        chance = random.Random(self.seed + 1)
        return lambda stage, item: chance.random() * (slow if chance.random() < 0.2 else 0.004)

    def _function(self, kind: str, keyed: bool, retries: int, backoff: float) -> Function:
        self.names += 1
        chance = self.chance
        kept = LivingFunction if self.is_so(0.1) else Function
        return kept(
            self.log,
            kind,
            f"s{self.names}",
            chr(ord("a") + self.names),
            many=chance.choice((1, 1, 3, 9, 30)),
            fails=chance.choice((0.0, 0.0, 0.1, 0.3)),
            retries=retries,
            backoff=backoff,
            keyed=keyed,
            in_order=keyed and self.all_ordered,
        )

    def _stage(self, pipeline: Pipeline[Any], batched: bool) -> Pipeline[Any]:
        chance = self.chance
        kind = "map" if batched else chance.choice(("map", "map", "filter", "flat_map"))
        keyed = self.is_so(0.25)
        retries = chance.choice((0, 0, 1, 2))
        backoff = chance.choice((0.0, 0.01, 1.0))
        function = self._function(kind, keyed, retries, backoff)
        on_error = chance.choice(("stop", "skip", "skip", "dead_letter", "yield"))
        ordered = chance.choice((True, False, None))
        options: dict[str, Any] = {"retries": retries, "backoff": backoff, "on_error": on_error}
        options["key"] = function.key_of if keyed else None
        options["ordered"] = ordered
        if self.is_so(0.25):
            options["threads"] = chance.choice((1, 2, 3))
        else:
            options["workers"] = chance.choice((1, 2, 3, "auto")) if not keyed else chance.choice((1, 2, 3))
        options["timeout"] = self.limit if self.is_so(0.5) else None
        if self.renewal is not None and self.renewal.random() < 0.6:
            if "workers" in options and self.renewal.random() < 0.3:
                options["max_worker_memory"] = "512MiB"  # a simulated worker has up to 1 GiB
            else:
                options["max_items_per_worker"] = self.renewal.choice((1, 1, 2, 3))
        is_ordered = bool(pipeline.ordered if ordered is None else ordered)
        stage = Stage([function], {function.name: on_error}, is_ordered)
        pipeline = getattr(pipeline, kind)(function, name=function.name, **options)
        if not batched and self.is_so(0.2):
            pipeline = self._join(pipeline, stage)
        self.steps.append(stage)
        self.all_ordered = self.all_ordered and is_ordered
        return pipeline

    def _join(self, pipeline: Pipeline[Any], stage: Stage) -> Pipeline[Any]:
        """A function that the same workers call; what it makes fail is not tried again."""
        kind = self.chance.choice(("map", "filter", "flat_map"))
        first = stage.functions[0]
        function = self._function(kind, False, first.retries, 0.0)
        function.in_order = False
        on_error = self.chance.choice(("skip", "yield"))
        joined = getattr(pipeline, kind)(function, name=function.name, on_error=on_error)
        if not joined.steps[-1].joins:
            return pipeline
        stage.functions.append(function)
        stage.on_error[function.name] = on_error
        return joined

    def _split(self, pipeline: Pipeline[Any]) -> Pipeline[Any]:
        stages: list[Stage | None] = []
        branches: dict[int, Pipeline[Any]] = {}
        self.all_ordered = False
        for name in range(2):
            if self.is_so(0.3):
                stages.append(None)
                branches[name] = Pipeline()
                continue
            kept, self.steps = self.steps, []
            branches[name] = self._stage(Pipeline(), False)
            (stage,) = self.steps
            assert isinstance(stage, Stage)
            stages.append(stage)
            self.steps = kept
        self.steps.append(Branches(_branch_of, stages))
        return pipeline.split(_branch_of, branches).merge()

    def _end(self, case: Case, tracked: bool) -> None:
        chance = self.chance
        case.options = {"max_items": chance.choice((1, 2, 4, 100_000)), "crash_limit": 10**6}
        case.options["halt"] = chance.choice(("now", "soon"))
        if self.is_so(0.1):
            case.options["max_failures"] = chance.choice((0, 1, 2))
        roll = chance.random()
        if roll < 0.1:
            case.leaves_after = chance.choice((0, 1, 3))
            case.stops = True
        elif roll < 0.25:
            simulation = case.simulation
            case.stops = True
            action = chance.choice(
                (simulation.drain, simulation.halt, simulation.stop, simulation.finish_begun)
            )
            simulation.at(chance.random() * chance.choice((0.05, 0.5)), action)
        if tracked:
            case.store = MemoryStore(case)
            case.options["store"] = case.store
        sink = _NarrowSink(self.seed, case.got) if self.is_so(0.2) else case.got
        case.pipeline = case.pipeline.to(sink)


class _NarrowSink:
    """One that has no room now and then.

    Args:
        seed: says when.
        got: what it takes.
    """

    def __init__(self, seed: int, got: list[Any]) -> None:
        self._seed = seed
        self._got = got
        self._asked = 0

    def put(self, value: Any, block: bool) -> None:
        self._asked += 1
        if draw("narrow", self._seed, self._asked) < 0.4:
            raise Full
        self._got.append(value)


def _branch_of(value: Any) -> int:
    return len(value) % 2


def _ignore(value: Any) -> None:
    pass
