"""A whole run: what was asked for, what came out, in one object that every report reads."""

from __future__ import annotations

from dataclasses import dataclass, field

from conveyor.bench.bars import Verdict
from conveyor.bench.extras import Extras
from conveyor.bench.machine import Machine
from conveyor.bench.summary import Outcome

__all__ = ["Run"]


@dataclass
class Run:
    """Filled as the run goes on, so that an interrupted one still has what was measured."""

    machine: Machine
    options: dict[str, object]
    skipped: dict[str, str]
    """Rivals that could not be imported, payloads that could not be made, and why."""
    outcomes: dict[str, Outcome] = field(default_factory=dict[str, Outcome])
    extras: Extras = field(default_factory=Extras)
    verdicts: list[Verdict] = field(default_factory=list[Verdict])
    unmeasured: list[str] = field(default_factory=list[str])
    """Workloads for which the time budget did not reach."""
    elapsed_seconds: float = 0.0
    load_after: float = 0.0
    others: float = 0.0
    """Cores that other programs kept busy during the run, on average."""

    @property
    def failures(self) -> list[str]:
        """Every rival that lost or changed an item, hung or raised: "workload, rival: why"."""
        return [
            f"{key}, {row.rival}: {row.failure}"
            for key, outcome in self.outcomes.items()
            for row in outcome.rows.values()
            if row.failure
        ]

    @property
    def conveyor_failed(self) -> bool:
        """Whether conveyor is among the failures; the others' failures are theirs."""
        return any(
            row.failure and row.rival.startswith("conveyor")
            for outcome in self.outcomes.values()
            for row in outcome.rows.values()
        )
