"""The bars: what the project promises about speed, and whether this run met it.

To add one that is a ratio of rates, add a line to `BARS`; its workload is then measured first,
longer than the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from conveyor.bench.backlog import SIZES, Backlog
from conveyor.bench.idle import Idle
from conveyor.bench.summary import NOISY, Outcome

__all__ = ["BACKLOG_BOUND", "BARS", "IDLE_BOUND", "Bar", "Verdict", "judge"]

BACKLOG_BOUND = 1.5
"""Cost at the dearest backlog over the cost at the smallest, at most."""

IDLE_BOUND = 0.01
"""Share of one core that 100 blocked consumers may use together: 1 ms each in 10 s, a tenth of the
tick that `top` and `ps` count in. Less than that is what "not measurable" means here."""


@dataclass(frozen=True)
class Bar:
    """A rate of conveyor's over a rival's, in one workload, that must reach `factor`."""

    name: str
    work: str
    topology: str
    payload: str
    against: Literal["multiprocessing", "best"]
    factor: float
    rival: str = "conveyor"

    @property
    def key(self) -> str:
        """The workload's key."""
        return f"{self.topology}/{self.payload}"


BARS = (
    Bar("tuple-1:1", "small tuple, 1:1", "1:1", "tuple", "multiprocessing", 7.0),
    Bar("tuple-1:1-best", "small tuple, 1:1", "1:1", "tuple", "best", 1.6),
    Bar("tuple-4:4", "small tuple, 4:4", "4:4", "tuple", "multiprocessing", 5.0),
    Bar("bytes40-1:1", "40-byte bytes, 1:1", "1:1", "bytes40", "multiprocessing", 8.0),
    Bar("ping-pong", "ping-pong, small tuple", "ping-pong", "tuple", "multiprocessing", 30.0),
    Bar("bytes1m-1:1", "1 MiB bytes, 1:1", "1:1", "bytes1m", "multiprocessing", 8.0),
)


@dataclass(frozen=True)
class Verdict:
    """A bar and what came of it. `met` is None when it could not be judged; `measured` then says why."""

    name: str
    work: str
    required: str
    measured: str
    value: float | None
    bound: float
    met: bool | None


def judge(
    outcomes: Mapping[str, Outcome], backlog: Backlog | str | None, idle: Idle | str | None
) -> list[Verdict]:
    """Every bar against this run; a text in place of `backlog` or `idle` is why it was not measured."""
    return [
        *(_judge_ratio(bar, outcomes.get(bar.key)) for bar in BARS),
        _judge_backlog(backlog),
        _judge_idle(idle),
    ]


def _judge_ratio(bar: Bar, outcome: Outcome | None) -> Verdict:
    ratio = None
    whom = "multiprocessing.Queue" if bar.against == "multiprocessing" else "the best rival"
    reason = "not measured"
    if outcome is not None:
        row = outcome.rows.get(bar.rival)
        reason = row.failure if row is not None and row.failure else reason
        if bar.against == "best":
            ratio = outcome.to_best(bar.rival)
            best = outcome.best_rival(single=True)
            if best is not None:
                whom = f"the best rival ({best.rival})"
        else:
            ratio = outcome.to_yardstick(bar.rival)
    required = f">= {bar.factor:g}x {whom}"
    if bar.topology == "ping-pong":
        required = f"<= 1/{bar.factor:g} of {whom}'s time"
    if ratio is None:
        return Verdict(bar.name, bar.work, required, reason, None, bar.factor, None)
    measured = f"{ratio.value:.2f}x ({ratio.low:.2f} to {ratio.high:.2f})"
    if bar.topology == "ping-pong":
        measured = f"1/{ratio.value:.1f} (1/{ratio.low:.1f} to 1/{ratio.high:.1f})"
    measured += _noise(outcome.others if outcome is not None else 0.0)
    return Verdict(bar.name, bar.work, required, measured, ratio.value, bar.factor, ratio.value >= bar.factor)


def _noise(others: float) -> str:
    """What to add to a figure that was taken while others kept so many cores busy."""
    return f"; others used {others:.1f} cores: measure again" if others > NOISY else ""


def _judge_backlog(backlog: Backlog | str | None) -> Verdict:
    work = "cost of an item, backlog 10 to 10 million"
    required = f"within {BACKLOG_BOUND:g}x"
    if not isinstance(backlog, Backlog):
        return Verdict("backlog", work, required, backlog or "not measured", None, BACKLOG_BOUND, None)
    ratio, worst = backlog.ratio, backlog.worst
    measured = (
        f"{ratio:.2f}x: {backlog.points[0].cost_ns:.0f} ns at {backlog.points[0].size}, "
        f"{worst.cost_ns:.0f} ns at {worst.size:,}"
    )
    met: bool | None = ratio <= BACKLOG_BOUND
    if backlog.points[-1].size < SIZES[-1]:
        measured += f" ({backlog.missing})"
        met = None if met else False
    measured += _noise(backlog.others)
    return Verdict("backlog", work, required, measured, ratio, BACKLOG_BOUND, met)


def _judge_idle(idle: Idle | str | None) -> Verdict:
    work = "idle: 100 consumers blocked for 10 s"
    required = f"no measurable CPU (< {IDLE_BOUND:.0%} of a core, all together)"
    if not isinstance(idle, Idle):
        return Verdict("idle", work, required, idle or "not measured", None, IDLE_BOUND, None)
    used, base = idle.cpu_seconds * 1e3, idle.baseline_cpu_seconds * 1e3
    measured = (
        f"{idle.excess:.3%}: {used:.1f} ms against {base:.1f} ms asleep, "
        f"{idle.wakeups / idle.seconds:.0f} wake-ups/s"
    )
    met: bool | None = idle.excess < IDLE_BOUND
    if idle.processes < 100 or idle.seconds < 9.5:
        measured += f" ({idle.processes} for {idle.seconds:.0f} s only)"
        met = None if met else False
    return Verdict("idle", work, required, measured, idle.excess, IDLE_BOUND, met)
