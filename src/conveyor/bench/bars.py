"""The bars: what the project promises about speed, and whether this run met it.

To add one that is a ratio of rates, add a line to `BARS`; its workload is then measured first,
longer than the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from conveyor.bench.measurement import Workload
from conveyor.bench.payloads import PAYLOADS
from conveyor.bench.summary import NOISY, UNBOUNDED, YARDSTICK, Outcome, Ratio
from conveyor.bench.topologies import TOPOLOGIES

__all__ = [
    "BARS",
    "BOUNDS",
    "BURNERS",
    "STEADY_BOUND",
    "Bar",
    "Verdict",
    "judge_ratio",
    "judge_steadiness",
    "needed_rivals",
    "noise",
]

BOUNDS = (1, 2, 8, 64)
"""The `maxsize` of the bounded queues."""
BURNERS = 2
"""Processes that compute all the time where the machine is busy."""

_ALWAYS = frozenset({"conveyor", "conveyor-many", YARDSTICK})


@dataclass(frozen=True)
class Bar:
    """A rate of conveyor's over a rival's (or a bare copy's), in one workload, that must reach `factor`."""

    name: str
    work: str
    topology: str
    payload: str
    against: Literal["multiprocessing", "best", "memcpy", "unbounded"]
    factor: float
    rival: str = "conveyor"
    maxsize: int | None = None
    burners: int = 0

    @property
    def workload(self) -> Workload:
        """What has to be measured for it."""
        return Workload(TOPOLOGIES[self.topology], PAYLOADS[self.payload], self.maxsize, self.burners)

    @property
    def key(self) -> str:
        """The workload's key."""
        return self.workload.key


BARS = (
    Bar("tuple-1:1", "small tuple, 1:1", "1:1", "tuple", "multiprocessing", 25.0),
    Bar("tuple-1:1-best", "small tuple, 1:1", "1:1", "tuple", "best", 3.5),
    Bar("tuple-many", "small tuple, 1:1, by 100", "1:1", "tuple", "multiprocessing", 25.0, "conveyor-many"),
    Bar("tuple-4:4", "small tuple, 4:4", "4:4", "tuple", "multiprocessing", 5.0),
    Bar("int-1:1", "int, 1:1", "1:1", "int", "multiprocessing", 50.0),
    Bar("bytes40-1:1", "40-byte bytes, 1:1", "1:1", "bytes40", "multiprocessing", 20.0),
    Bar("log-1:1", "log record, 1:1", "1:1", "log", "multiprocessing", 14.0),
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
    Bar("bytes64k-1:1-best", "64 KiB bytes, unbounded, 1:1", "1:1", "bytes64k", "best", 1.1, maxsize=0),
    Bar("bytes64k-4:4-best", "64 KiB bytes, unbounded, 4:4", "4:4", "bytes64k", "best", 1.1, maxsize=0),
    *(
        Bar(f"{payload}-8-unbounded", f"{title}, maxsize 8", "1:1", payload, "unbounded", 0.7, maxsize=8)
        for payload, title in (
            ("tuple", "small tuple"),
            ("bytes4k", "4 KiB bytes"),
            ("numpy64k", "NumPy 64 KiB"),
        )
    ),
    *(
        Bar(
            f"tuple-{maxsize}{'-busy' if burners else ''}",
            f"small tuple, maxsize {maxsize}{', busy machine' if burners else ''}",
            "1:1",
            "tuple",
            "multiprocessing",
            factor,
            maxsize=maxsize,
            burners=burners,
        )
        for burners, factors in ((0, (8.0, 10.0, 15.0, 20.0)), (BURNERS, (5.0, 8.0, 12.0, 15.0)))
        for maxsize, factor in zip(BOUNDS, factors, strict=True)
    ),
)

STEADY_BOUND = 0.5
"""The worst round over the median of the rounds, at least, for every bar that is a ratio of rates."""


def needed_rivals(key: str) -> frozenset[str] | None:
    """The rivals without which the bars of a workload cannot be judged; None: all of them."""
    bars = [bar for bar in BARS if bar.key == key]
    if any(bar.against == "best" for bar in bars):
        return None
    others = {UNBOUNDED for bar in bars if bar.against == "unbounded"}
    return _ALWAYS | {bar.rival for bar in bars} | others


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
    whom = {
        "multiprocessing": f"multiprocessing.Queue{f'({bar.maxsize})' if bar.maxsize else ''}",
        "unbounded": "the same queue unbounded",
    }.get(bar.against, "the best rival")
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
        elif bar.against == "unbounded":
            ratio = outcome.to_unbounded(bar.rival)
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


def judge_steadiness(outcomes: Mapping[str, Outcome]) -> Verdict:
    """Whether no round of any bar's own row fell far below the median of its rounds."""
    work, required = "the worst round of each of these", f">= {STEADY_BOUND:g}x of its median"
    shares = {
        bar.name: row.worst / row.rate
        for bar in BARS
        for outcome in [outcomes.get(bar.key)]
        for row in [outcome.rows.get(bar.rival) if outcome is not None else None]
        if row is not None and row.samples
    }
    if not shares:
        return Verdict("steady", work, required, "not measured", None, STEADY_BOUND, None)
    value = min(shares.values())
    below = [f"{name} {share:.2f}x" for name, share in shares.items() if share < STEADY_BOUND]
    worst = min(shares, key=lambda name: shares[name])
    measured = f"{', '.join(below) or f'{worst} {value:.2f}x'}"
    met: bool | None = not below
    if met and len(shares) < len(BARS):
        met = None
        measured += f" ({len(shares)} of {len(BARS)} measured)"
    return Verdict("steady", work, required, measured, value, STEADY_BOUND, met)


def noise(others: float) -> str:
    """What to add to a figure that was taken while others kept so many cores busy."""
    return f"; others used {others:.1f} cores: measure again" if others > NOISY else ""
