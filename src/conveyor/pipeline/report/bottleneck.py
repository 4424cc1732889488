"""The sentence that says what holds up a run, and what to change."""

from __future__ import annotations

from dataclasses import dataclass

from ..base.format import duration
from .figures import StageReport

__all__ = ["Pressure", "bottleneck", "tightest"]

_BUSY = 0.5
_TAKEN = 0.8
_SMALL_SECONDS = 20e-6  # what moving an item costs at the very most
_TINY_SECONDS = 3e-6  # what it costs usually
_HUB = 0.1
_WAITS = 0.3
_SHORT_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Pressure:
    """What a run cost. Shares are of its duration, 0 to 1 for each processor."""

    seconds: float
    processors: int
    """That this process may use."""
    taken: float
    """The share of the machine's processors that was in use, by whomever."""
    own: float
    """Processor time of this process: of its threads, and of what the engine does."""
    hub: float
    """Processor time of the engine, without functions of the user's."""
    computed: float | None
    """The share of their busy time in which worker processes used a processor; None: not known."""


def bottleneck(stages: list[StageReport], pressure: Pressure, failed: bool = False) -> str:
    """The sentence.

    Args:
        stages: what each did.
        pressure: what the run cost.
        failed: an error ended it.
    """
    seconds = pressure.seconds
    if seconds <= 0 or not any(stage.given or stage.taken for stage in stages):
        return "Nothing came from the source, so there was nothing to do."
    share, at = _top(stages, seconds)
    top = stages[at]
    slowest = max(stages, key=_start)
    starts = _start(slowest)
    if (
        share < _BUSY
        or seconds < _SHORT_SECONDS
        or starts > max(0.5 * seconds, top.busy_seconds / max(top.size, 1))
    ):
        if failed:
            return "It ended too early to tell what holds it up."
        if starts > 0.4 * seconds:
            text = f"Starting workers took {duration(starts)} of the {duration(seconds)}: there is too little work"
            return (
                f"{text} for processes; threads= costs less to start."
                if slowest.kind == "processes"
                else f"{text}."
            )
        if seconds < _SHORT_SECONDS:
            return f"It was too short ({duration(seconds)}) to tell what holds it up."
    # Not if it was the source or a sink that kept everybody waiting.
    least = 0.0 if top.kind != "engine" else _HUB if share < _BUSY else _BUSY
    if pressure.hub >= least and (small := _small(stages, pressure)):
        return small
    if share < _BUSY:
        return f"Nothing stands out: even {top.name!r} worked only {share:.0%} of the time."
    if top.kind == "engine":
        return _of_this_process(top, share)
    return _of_workers(top, share, pressure, stages)


def tightest(stages: list[StageReport], seconds: float) -> int | None:
    """Which stage holds up the others: it was busy most of the time, and more than any other; None: none stands out.

    Args:
        stages: what each did in that time.
        seconds: how long that was.
    """
    share, at = _top(stages, seconds)
    return at if share >= _BUSY else None


def _top(stages: list[StageReport], seconds: float) -> tuple[float, int]:
    """The largest share of all stages, and whose it is; of equal ones the last."""
    return max((_share(stage, seconds), index) for index, stage in enumerate(stages))


def _start(stage: StageReport) -> float:
    """Seconds that its slowest worker took to start."""
    return max((account.start_seconds for account in stage.workers), default=0.0)


def _share(stage: StageReport, seconds: float) -> float:
    """The share of the run, since there were workers, in which a stage could not have gone faster."""
    each = stage.busy_seconds / max(stage.size, 1)
    return min(each / max(seconds - _start(stage), 0.1 * seconds), 1.0)


def _small(stages: list[StageReport], pressure: Pressure) -> str:
    """Whether moving the items costs more than the work on them."""
    worked = [stage for stage in stages if stage.workers and stage.taken]
    if not worked:
        return ""
    top = max(worked, key=lambda stage: stage.busy_seconds)
    each = top.busy_seconds / top.taken
    bound = _SMALL_SECONDS if pressure.hub >= _BUSY else _TINY_SECONDS
    if top.kind == "coroutines" or each > bound:
        return ""
    return (
        f"Moving the items costs more than the work on them, {duration(each)} each in {top.name!r}: "
        "put batch(1000) before it, and have it take lists."
    )


def _of_this_process(top: StageReport, share: float) -> str:
    if top.is_source:
        who = "The source" if top.name == "source" else repr(top.name)
        return (
            f"{who} is the bottleneck: the stages waited for it {share:.0%} of the time; make it quicker, "
            "or move work from it into a stage with workers."
        )
    return (
        f"{top.name!r} is the bottleneck: this process was at it, or waited for it, {share:.0%} of the time; "
        "do its work in a map() with workers, or give it lists by batch()."
    )


def _of_workers(top: StageReport, share: float, pressure: Pressure, stages: list[StageReport]) -> str:
    word = {"processes": "workers", "executor": "submissions"}.get(top.kind, top.kind)
    who = f"its {top.size} {word}" if top.size > 1 else f"its only {word.removesuffix('s')}"
    text = f"{top.name!r} is the bottleneck: {who} worked {share:.0%} of the time"
    twice = 2 * top.size
    if top.kind == "inline":
        return f"{top.name!r} is the bottleneck: this process was at it {share:.0%} of the time: leave out inline."
    if top.kind == "coroutines":
        return f"{text}: give it concurrency={twice}."
    if top.kind == "threads":
        if pressure.own > _TAKEN:
            return f"{text}, and computed, which threads do one at a time: give it workers= in their place."
        return f"{text}, mostly waiting: give it threads={twice}."
    if pressure.computed is not None and pressure.computed < _WAITS:
        return f"{text}, mostly waiting: give it workers={twice}."
    if pressure.taken < _TAKEN:
        free = f"only {pressure.taken:.0%} of the processors' time was used"
        return f"{text}, and {free}: give it workers={twice}."
    processors = (
        "the processor is" if pressure.processors == 1 else f"all {pressure.processors} processors are"
    )
    spare = [stage for stage in stages if stage.kind == "processes" and stage.size > 1 and stage.load < _BUSY]
    if spare:
        idle = min(spare, key=lambda stage: stage.load)
        return (
            f"{text}, and {processors} in use, but those of {idle.name!r} worked {idle.load:.0%}: "
            'give it workers of those, or say workers="auto".'
        )
    return f"{text}, and {processors} in use: make it quicker, or give it more processors."
