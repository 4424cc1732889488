"""The bars: what the project promises about speed, and whether this run met it.

To add one that is a ratio of rates, add a line to `BARS`; its workload is then measured first,
longer than the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from conveyor.bench.summary import NOISY, YARDSTICK, Outcome, Ratio

__all__ = ["BARS", "Bar", "Verdict", "judge_ratio", "needed_rivals", "noise"]

_ALWAYS = frozenset({"conveyor", "conveyor-many", YARDSTICK})


@dataclass(frozen=True)
class Bar:
    """A rate of conveyor's over a rival's (or a bare copy's), in one workload, that must reach `factor`."""

    name: str
    work: str
    topology: str
    payload: str
    against: Literal["multiprocessing", "best", "memcpy"]
    factor: float
    rival: str = "conveyor"

    @property
    def key(self) -> str:
        """The workload's key."""
        return f"{self.topology}/{self.payload}"


BARS = (
    Bar("tuple-1:1", "small tuple, 1:1", "1:1", "tuple", "multiprocessing", 12.0),
    Bar("tuple-1:1-best", "small tuple, 1:1", "1:1", "tuple", "best", 3.0),
    Bar("tuple-many", "small tuple, 1:1, by 100", "1:1", "tuple", "multiprocessing", 25.0, "conveyor-many"),
    Bar("tuple-4:4", "small tuple, 4:4", "4:4", "tuple", "multiprocessing", 5.0),
    Bar("int-1:1", "int, 1:1", "1:1", "int", "multiprocessing", 18.0),
    Bar("bytes40-1:1", "40-byte bytes, 1:1", "1:1", "bytes40", "multiprocessing", 20.0),
    Bar("log-1:1", "log record, 1:1", "1:1", "log", "multiprocessing", 8.0),
    Bar("dataclass-1:1", "dataclass of 6 fields, 1:1", "1:1", "dataclass", "multiprocessing", 10.0),
    Bar("ping-pong", "ping-pong, small tuple", "ping-pong", "tuple", "multiprocessing", 30.0),
    Bar("bytes1m-1:1", "1 MiB bytes, 1:1", "1:1", "bytes1m", "multiprocessing", 8.0),
    Bar("numpy64k-1:1", "NumPy 64 KiB, 1:1", "1:1", "numpy64k", "multiprocessing", 5.0),
    Bar("numpy8m-1:1", "NumPy 8 MiB, 1:1", "1:1", "numpy8m", "multiprocessing", 15.0),
    Bar("numpy8m-1:1-best", "NumPy 8 MiB, 1:1", "1:1", "numpy8m", "best", 3.0),
    Bar("numpy8m-1:1-memcpy", "NumPy 8 MiB, 1:1", "1:1", "numpy8m", "memcpy", 0.6),
    Bar(
        "numpy8m-allocate",
        "NumPy 8 MiB, 1:1, allocate",
        "1:1",
        "numpy8m",
        "multiprocessing",
        80.0,
        "conveyor-allocate",
    ),
)


def needed_rivals(key: str) -> frozenset[str] | None:
    """The rivals without which the bars of a workload cannot be judged; None: all of them."""
    bars = [bar for bar in BARS if bar.key == key]
    if any(bar.against == "best" for bar in bars):
        return None
    return _ALWAYS | {bar.rival for bar in bars}


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


def judge_ratio(bar: Bar, outcome: Outcome | None, skipped: Mapping[str, str]) -> Verdict:
    """A bar that is a ratio of rates; `skipped` says why a rival or a payload has none."""
    ratio: Ratio | None = None
    whom = "multiprocessing.Queue" if bar.against == "multiprocessing" else "the best rival"
    why = skipped.get(bar.payload) or skipped.get(bar.rival)
    reason = f"skipped: {why}" if why else "not measured"
    if outcome is not None:
        row = outcome.rows.get(bar.rival)
        reason = row.failure if row is not None and row.failure else reason
        if bar.against == "best":
            ratio = outcome.to_best(bar.rival)
            best = outcome.best_rival(single=True)
            if best is not None:
                whom = f"the best rival ({best.rival})"
        elif bar.against == "memcpy":
            ratio = outcome.to_memcpy(bar.rival)
        else:
            ratio = outcome.to_yardstick(bar.rival)
    if bar.topology == "ping-pong":
        required = f"<= 1/{bar.factor:g} of {whom}'s time"
    elif bar.against == "memcpy":
        required = f">= {bar.factor:.0%} of one memcpy"
    else:
        required = f">= {bar.factor:g}x {whom}"
    if ratio is None:
        return Verdict(bar.name, bar.work, required, reason, None, bar.factor, None)
    if bar.topology == "ping-pong":
        measured = f"1/{ratio.value:.1f} (1/{ratio.low:.1f} to 1/{ratio.high:.1f})"
    elif bar.against == "memcpy":
        measured = f"{ratio.value:.0%} ({ratio.low:.0%} to {ratio.high:.0%})"
    else:
        measured = f"{ratio.value:.2f}x ({ratio.low:.2f} to {ratio.high:.2f})"
    measured += noise(outcome.others if outcome is not None else 0.0)
    return Verdict(bar.name, bar.work, required, measured, ratio.value, bar.factor, ratio.value >= bar.factor)


def noise(others: float) -> str:
    """What to add to a figure that was taken while others kept so many cores busy."""
    return f"; others used {others:.1f} cores: measure again" if others > NOISY else ""
