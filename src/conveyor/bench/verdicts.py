"""The verdicts: every bar of the project against one run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal

from conveyor.bench.backlog import SIZES
from conveyor.bench.bars import BARS, Verdict, judge_ratio, judge_steadiness, noise
from conveyor.bench.creation import Creation
from conveyor.bench.extras import Extras
from conveyor.bench.memory import MAX_BYTES, TOTAL_BYTES
from conveyor.bench.start import ITEMS
from conveyor.bench.summary import Outcome

__all__ = ["BACKLOG_BOUND", "CODEC_BOUND", "IDLE_BOUND", "LIMITS", "MEMORY_BOUND", "judge"]

BACKLOG_BOUND = 1.5
"""Cost at the dearest backlog over the cost at the smallest, at most."""

IDLE_BOUND = 0.01
"""Share of one core that 100 blocked consumers may use together: 1 ms each in 10 s, a tenth of the
tick that `top` and `ps` count in. Less than that is what "not measurable" means here."""

CODEC_BOUND = 2.5
"""How many times as fast as pickle the codec must be, in the geometric mean."""

MEMORY_BOUND = 320 << 20
"""Bytes that all processes may take together while arrays pass through a queue of 256 MiB."""


@dataclass(frozen=True)
class Limit:
    """A figure of one of the extras that may not pass `bound`; `shown` says it as a person reads it."""

    name: str
    work: str
    required: str
    bound: float
    extra: Literal["creation", "start"]
    value: Callable[[Any], float]
    shown: Callable[[Any], str]


def _times(ours: Sequence[float], theirs: Sequence[float], ratio: float, scale: float, unit: str) -> str:
    pairs = [mine / other for mine, other in zip(ours, theirs, strict=True)]
    return (
        f"{ratio:.2f}x ({min(pairs):.2f} to {max(pairs):.2f}): "
        f"{median(ours) * scale:.1f} against {median(theirs) * scale:.1f} {unit}"
    )


def _creation_times(creation: Creation) -> str:
    ours, theirs = ([each.nanoseconds for each in side] for side in (creation.ours, creation.theirs))
    return _times(ours, theirs, creation.ratio, 1e-3, "us")


def _beside(value: float, theirs: float, unit: str) -> str:
    return f"{value:.1f}{unit} ({theirs:.1f}{unit} of multiprocessing.Queue)"


LIMITS = (
    Limit(
        "start",
        f"pipeline of {ITEMS:,} empty calls, `run` to its return",
        "<= 1x Pool(2) made, mapped, closed",
        1.0,
        "start",
        lambda start: start.ratio,
        lambda start: _times(start.ours, start.theirs, start.ratio, 1e3, "ms"),
    ),
    Limit(
        "start-time",
        f"pipeline of {ITEMS:,} empty calls, `run` to its return",
        "<= 30 ms",
        0.030,
        "start",
        lambda start: start.seconds,
        lambda start: f"{start.seconds * 1e3:.1f} ms (worst {max(start.ours) * 1e3:.1f})",
    ),
    Limit(
        "creation",
        "creating a queue",
        "<= 1x multiprocessing.Queue()",
        1.0,
        "creation",
        lambda creation: creation.ratio,
        _creation_times,
    ),
    Limit(
        "creation-descriptors",
        "a new queue's descriptors",
        "<= 2",
        2.0,
        "creation",
        lambda creation: creation.descriptors,
        lambda creation: _beside(creation.descriptors, creation.theirs[0].descriptors, ""),
    ),
    Limit(
        "creation-memory",
        "a new queue's memory",
        "<= 64 KiB touched",
        65536.0,
        "creation",
        lambda creation: creation.touched_bytes,
        lambda creation: _beside(
            creation.touched_bytes / 1024,
            median(each.touched_bytes for each in creation.theirs) / 1024,
            " KiB",
        ),
    ),
)
"""The bars on creating a queue and starting a pipeline."""


def judge(outcomes: Mapping[str, Outcome], extras: Extras, skipped: Mapping[str, str]) -> list[Verdict]:
    """Every bar against this run; `skipped` says why a rival or a payload was left out."""
    return [
        *(judge_ratio(bar, outcomes.get(bar.key), skipped) for bar in BARS),
        judge_steadiness(outcomes),
        *(_judge_limit(limit, extras) for limit in LIMITS),
        _judge_codec(extras),
        _judge_memory(extras),
        _judge_backlog(extras),
        _judge_idle(extras),
    ]


def _judge_limit(limit: Limit, extras: Extras) -> Verdict:
    found: Any = getattr(extras, limit.extra)
    if found is None:
        why = extras.why(limit.extra)
        return Verdict(limit.name, limit.work, limit.required, why, None, limit.bound, None)
    value, shown = limit.value(found), limit.shown(found)
    return Verdict(limit.name, limit.work, limit.required, shown, value, limit.bound, value <= limit.bound)


def _judge_codec(extras: Extras) -> Verdict:
    work = "codec alone, there and back"
    required = f">= {CODEC_BOUND:g}x pickle, geometric mean"
    codec = extras.codec
    if codec is None:
        return Verdict("codec", work, required, extras.why("codec"), None, CODEC_BOUND, None)
    ratio = codec.ratio
    ratios = [point.ratio for point in codec.points]
    measured = f"{ratio:.2f}x ({min(ratios):.2f} to {max(ratios):.2f}, {len(ratios)} kinds of items)"
    measured += noise(codec.others)
    return Verdict("codec", work, required, measured, ratio, CODEC_BOUND, ratio >= CODEC_BOUND)


def _judge_memory(extras: Extras) -> Verdict:
    work = f"peak memory, {TOTAL_BYTES >> 30} GiB of arrays through max_bytes={MAX_BYTES >> 20} MiB"
    required = f"< {MEMORY_BOUND >> 20} MiB, all processes together"
    memory = extras.memory
    if memory is None:
        return Verdict("memory", work, required, extras.why("memory"), None, MEMORY_BOUND, None)
    measured = (
        f"{memory.peak_bytes / (1 << 20):.0f} MiB ({memory.base_bytes / (1 << 20):.0f} before the first item)"
    )
    met: bool | None = memory.peak_bytes < MEMORY_BOUND
    if memory.full_bytes < MAX_BYTES * 0.9:
        measured += f" (the queue held {memory.full_bytes >> 20} MiB at most: not full)"
        met = None if met else False
    if memory.total_bytes < TOTAL_BYTES:
        measured += f" ({memory.total_bytes / (1 << 30):.1f} GiB only)"
        met = None if met else False
    return Verdict("memory", work, required, measured, memory.peak_bytes, MEMORY_BOUND, met)


def _judge_backlog(extras: Extras) -> Verdict:
    work = "cost of an item, backlog 10 to 10 million"
    required = f"within {BACKLOG_BOUND:g}x"
    backlog = extras.backlog
    if backlog is None:
        return Verdict("backlog", work, required, extras.why("backlog"), None, BACKLOG_BOUND, None)
    ratio, worst = backlog.ratio, backlog.worst
    measured = (
        f"{ratio:.2f}x: {backlog.points[0].cost_ns:.0f} ns at {backlog.points[0].size}, "
        f"{worst.cost_ns:.0f} ns at {worst.size:,}"
    )
    met: bool | None = ratio <= BACKLOG_BOUND
    if backlog.points[-1].size < SIZES[-1]:
        measured += f" ({backlog.missing})"
        met = None if met else False
    measured += noise(backlog.others)
    return Verdict("backlog", work, required, measured, ratio, BACKLOG_BOUND, met)


def _judge_idle(extras: Extras) -> Verdict:
    work = "idle: 100 consumers blocked for 10 s"
    required = f"no measurable CPU (< {IDLE_BOUND:.0%} of a core, all together)"
    idle = extras.idle
    if idle is None:
        return Verdict("idle", work, required, extras.why("idle"), None, IDLE_BOUND, None)
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
