"""Medians, spread and ratios of the samples of one workload."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median, quantiles

from conveyor.bench.measurement import Sample, Workload
from conveyor.bench.rivals import RIVALS

__all__ = ["NOISY", "UNBOUNDED", "YARDSTICK", "Outcome", "Ratio", "Row", "spread"]

YARDSTICK = "multiprocessing"
"""The rival to which ratios are taken."""

UNBOUNDED = "conveyor-unbounded"
"""The rival beside bounded queues that has no bound."""


def spread(values: Sequence[float]) -> tuple[float, float, float]:
    """Lower quartile, median, upper quartile; of a single value, three times that value."""
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, middle, high = quantiles(values, n=4, method="inclusive")
    return low, middle, high


NOISY = 0.1
"""Cores that others may keep busy during a workload before its figures come with a warning: with
0.6 cores taken, a ratio that is 28 on a quiet machine was measured as 5."""


@dataclass(frozen=True)
class Ratio:
    """How many times the rate of another: of the medians, and the extremes of the paired repeats.

    Repeat k of the one ran next to repeat k of the other, so a pair shares the machine's mood.
    """

    value: float
    low: float
    high: float


@dataclass
class Row:
    """One rival in one workload; `failure` is why it has no (more) samples, else empty."""

    rival: str
    samples: list[Sample] = field(default_factory=list[Sample])
    failure: str = ""

    @property
    def rates(self) -> list[float]:
        """Items (or round trips) a second, in the order of the repeats."""
        return [sample.rate for sample in self.samples]

    @property
    def rate(self) -> float:
        """The median rate."""
        return median(self.rates)

    @property
    def worst(self) -> float:
        """The lowest rate of the rounds."""
        return min(self.rates)

    @property
    def quartiles(self) -> tuple[float, float]:
        """Lower and upper quartile of the rate."""
        low, _, high = spread(self.rates)
        return low, high

    @property
    def cpu_per_item(self) -> float:
        """Median processor seconds an item, of all processes together."""
        return median(sample.cpu_seconds / sample.items for sample in self.samples)

    @property
    def faults_per_item(self) -> float:
        """Median minor page faults an item, of all processes together."""
        return median(sample.faults / sample.items for sample in self.samples)

    @property
    def ahead(self) -> bool:
        """Whether the producers' head start was over a tenth of the time, which flatters the rate."""
        return median(sample.lead_seconds / sample.seconds for sample in self.samples) > 0.1


@dataclass
class Outcome:
    """All rivals in one workload, in the order of the tables."""

    workload: Workload
    rows: dict[str, Row]
    others: float = 0.0
    """Cores that other programs kept busy meanwhile, on average; see `NOISY`."""
    copies: list[float] = field(default_factory=list[float])
    """Of the workloads that carry arrays: how many items one memcpy each could copy in a second, read
    once a repeat, next to the rivals."""
    partial: bool = False
    """Only the rivals that a bar names took part: nothing can be said of the best."""

    @property
    def measured(self) -> list[Row]:
        """The rows that have samples."""
        return [row for row in self.rows.values() if row.samples]

    def best_rival(self, *, single: bool) -> Row | None:
        """The fastest row that is not conveyor's; with `single`, of those that move one item a call."""
        if self.partial:
            return None
        rows = [
            row
            for row in self.measured
            if not RIVALS[row.rival].ours and (not single or RIVALS[row.rival].style == "single")
        ]
        return max(rows, key=lambda row: row.rate, default=None)

    def to_yardstick(self, rival: str) -> Ratio | None:
        """The row's rate over multiprocessing.Queue's."""
        return self._ratio(rival, self.rows.get(YARDSTICK))

    def to_best(self, rival: str) -> Ratio | None:
        """The row's rate over the best rival's: one item a call against the same, batches against all."""
        return self._ratio(rival, self.best_rival(single=RIVALS[rival].style == "single"))

    def to_unbounded(self, rival: str) -> Ratio | None:
        """The row's rate over that of conveyor's queue without a bound."""
        return self._ratio(rival, self.rows.get(UNBOUNDED))

    def to_memcpy(self, rival: str) -> Ratio | None:
        """The row's rate over that of bare copies."""
        return self._to(rival, self.copies)

    def _ratio(self, rival: str, other: Row | None) -> Ratio | None:
        return self._to(rival, other.rates if other is not None else [])

    def _to(self, rival: str, rates: Sequence[float]) -> Ratio | None:
        row = self.rows.get(rival)
        if row is None or not row.samples or not rates:
            return None
        pairs = [mine / theirs for mine, theirs in zip(row.rates, rates, strict=False)]
        return Ratio(row.rate / median(rates), min(pairs), max(pairs))
