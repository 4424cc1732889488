"""Runs workloads: rivals interleaved by repeat, item counts fitted to the time wanted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic

from conveyor.bench.burners import burning
from conveyor.bench.busy import Bystander
from conveyor.bench.measurement import MeasurementFailed, Sample, Workload, measure
from conveyor.bench.rivals import Rival
from conveyor.bench.roofline import measure_copies
from conveyor.bench.summary import Outcome, Row

__all__ = ["Runner", "seconds_for"]

_OVERHEAD = 0.06
"""Seconds that a measurement takes beyond its timed phase: processes, checks, barriers."""
_CALIBRATION = 0.3
"""Seconds that finding the item count takes, for each rival and workload."""
_SHORTEST, _LONGEST = 0.1, 0.8
"""Bounds of the timed phase of one measurement, in seconds."""


def seconds_for(budget: float, measurements: float, calibrations: int) -> float:
    """How long each timed phase may be (seconds) so that all of it fits in `budget` seconds."""
    free = budget - calibrations * _CALIBRATION
    return min(_LONGEST, max(_SHORTEST, free / max(1.0, measurements) - _OVERHEAD))


@dataclass
class Runner:
    """Measures one workload at a time, all rivals side by side.

    `repeats` rounds are made over the rivals, A B C A B C ..., so that whatever else the machine
    does in the meantime hits all alike. `hot` sends one item again and again. `say` is told what is being
    measured; `deadline` is on the monotonic clock. `needed` names the rivals that a workload must
    have, by its key, for a run that has no time for the others; None, or its None: all.
    """

    rivals: Sequence[Rival]
    repeats: int
    say: Callable[[str], None]
    hot: bool = False
    deadline: float = float("inf")
    needed: Callable[[str], frozenset[str] | None] | None = None

    def entrants(self, workload: Workload) -> list[Rival]:
        """The rivals that take part in the workload."""
        needed = self.needed(workload.key) if self.needed is not None else None
        suited = [rival for rival in self.rivals if workload.suits(rival)]
        return [rival for rival in suited if needed is None or rival.name in needed]

    def run(self, workload: Workload, seconds: float, items: int | None = None) -> Outcome:
        """Measure the workload, each sample lasting about `seconds`, or with exactly so many `items`."""
        rivals = self.entrants(workload)
        outcome = Outcome(workload, {rival.name: Row(rival.name) for rival in rivals})
        outcome.partial = len(rivals) < sum(map(workload.suits, self.rivals))
        bystander = Bystander()
        try:
            with burning(workload.burners):
                self._fill(outcome, rivals, seconds, items)
        except MeasurementFailed as error:  # of the burners: then no row is what it says
            for row in outcome.rows.values():
                row.samples, row.failure = [], str(error)
        outcome.others = bystander.cores()  # what the burners used is this process's own, now that they ended
        return outcome

    def _fill(self, outcome: Outcome, rivals: Sequence[Rival], seconds: float, items: int | None) -> None:
        workload = outcome.workload
        counts: dict[str, int] = {}
        for rival in rivals:
            self.say(f"{workload.key}: {rival.name}, how many items")
            try:
                counts[rival.name] = items or self._fit(rival, workload, seconds)
            except MeasurementFailed as error:
                outcome.rows[rival.name].failure = str(error)
        for repeat in range(self.repeats):
            if repeat and monotonic() > self.deadline:
                break
            for rival in rivals:
                row = outcome.rows[rival.name]
                if row.failure:
                    continue
                self.say(f"{workload.key}: {rival.name}, {repeat + 1} of {self.repeats}")
                try:
                    row.samples.append(self._measure(rival, workload, counts[rival.name], seconds))
                except MeasurementFailed as error:
                    row.failure = str(error)
            if workload.payload.array and rivals:
                self.say(f"{workload.key}: bare copies, {repeat + 1} of {self.repeats}")
                places = workload.bound or workload.payload.bound
                outcome.copies.append(measure_copies(workload.payload, seconds / 2, places))

    def _fit(self, rival: Rival, workload: Workload, seconds: float) -> int:
        """The item count that takes about `seconds`: grown until a trial is long enough to judge by."""
        count = 2000 if not workload.payload.large else 64 if workload.payload.size < 1 << 20 else 16
        while True:
            trial = self._measure(rival, workload, count, seconds)
            if trial.seconds > seconds / 10:
                return max(16, round(trial.rate * seconds))
            # Aim at a third of the time, but trust so short a trial for a factor of 16 at most.
            count = min(count * 16, max(count * 2, round(trial.rate * seconds / 3)))

    def _measure(self, rival: Rival, workload: Workload, count: int, seconds: float) -> Sample:
        patience = 20 + 20 * seconds
        try:
            return measure(rival, workload, count, hot=self.hot, patience=patience)
        except MeasurementFailed:
            raise
        except Exception as error:  # what a rival raises when it is opened or closed, here
            raise MeasurementFailed(f"{type(error).__name__}: {error}") from error
