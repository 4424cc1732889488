"""The order of the work: what the bars need first, then the rest, as far as the time goes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic

from conveyor.bench.bars import BARS, needed_rivals
from conveyor.bench.extras import EXTRAS
from conveyor.bench.measurement import Workload
from conveyor.bench.payloads import PAYLOADS
from conveyor.bench.rivals import Rival
from conveyor.bench.run import Run
from conveyor.bench.runner import Runner, seconds_for
from conveyor.bench.settings import Settings
from conveyor.bench.topologies import TOPOLOGIES
from conveyor.bench.verdicts import judge

__all__ = ["measure_run"]

_BAR_WEIGHT = 2.0
"""The workloads of the bars are measured so many times as long as the others."""

_EXTRA_SECONDS = {False: 115.0, True: 26.0}
"""What all that is no transfer rate takes, in seconds; by `quick`."""


def measure_run(
    settings: Settings, rivals: Sequence[Rival], run: Run, say: Callable[[str], None], began: float
) -> None:
    """Fill `run`: the workloads of the bars first, then what is no transfer rate, then the rest."""
    missing = {workload.payload.name for workload in settings.workloads.values()} & run.skipped.keys()
    workloads = {
        key: workload for key, workload in settings.workloads.items() if workload.payload.name not in missing
    }
    bar_keys = {bar.key for bar in BARS} if settings.bars else set[str]()
    first = [workload for key, workload in workloads.items() if key in bar_keys]
    others = [workload for key, workload in workloads.items() if key not in bar_keys]
    extras = settings.bars and any(rival.name == "conveyor" for rival in rivals)
    runner = Runner(
        rivals,
        settings.repeats,
        say,
        settings.hot,
        began + settings.budget,
        None if settings.thorough else needed_rivals,
    )

    def rows(workloads: list[Workload]) -> int:
        # The bare copies beside arrays take about as long as a rival.
        return sum(len(runner.entrants(workload)) + workload.payload.array for workload in workloads)

    measurements = settings.repeats * (_BAR_WEIGHT * rows(first) + rows(others))
    free = settings.budget - (_EXTRA_SECONDS[settings.quick] if extras else 0.0)
    seconds = settings.seconds or seconds_for(free, measurements, rows(first) + rows(others))
    for workload in first:
        longer = settings.seconds or min(1.0, seconds * _BAR_WEIGHT)
        run.outcomes[workload.key] = runner.run(workload, longer, settings.items)
    if extras:
        arrays = next((run.skipped[name] for name in PAYLOADS if name in run.skipped), None)
        run.extras.measure(say, quick=settings.quick, repeats=settings.repeats, arrays=arrays)
    elif settings.bars:
        run.extras.missing = dict.fromkeys(EXTRAS, "conveyor was not measured")
    if settings.bars:
        run.verdicts = judge(run.outcomes, run.extras, run.skipped)
    for workload in others:
        if monotonic() > runner.deadline:
            run.unmeasured.append(workload.key)
        else:
            run.outcomes[workload.key] = runner.run(workload, seconds, settings.items)
    run.outcomes = {
        outcome.workload.key: outcome
        for outcome in sorted(run.outcomes.values(), key=lambda outcome: _place(outcome.workload))
    }


def _place(workload: Workload) -> tuple[int, int, int, int]:
    """Where a workload stands in the tables."""
    bound = -1 if workload.maxsize is None else workload.maxsize
    topology, payload = (
        list(TOPOLOGIES).index(workload.topology.name),
        list(PAYLOADS).index(workload.payload.name),
    )
    return workload.burners, topology, payload, bound
