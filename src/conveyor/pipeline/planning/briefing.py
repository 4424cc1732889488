"""brief_workers: what the workers of a run are told beside their functions: their seeds, and how they speak."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
from collections.abc import Iterable

from ...errors import PipelineError
from ..host.hearing import is_plain
from ..operators.work import WorkNode
from ..worker.identity import mix
from ..worker.voice import Voice, log_levels, warning_filters

__all__ = ["brief_workers", "check_seed", "voice_of"]


def check_seed(seed: object) -> None:
    """It is a seed of a run.

    Raises:
        TypeError: it is neither an integer nor None.
        PipelineError: it is negative.
    """
    if seed is None:
        return
    if not isinstance(seed, int) or isinstance(seed, bool):
        raise TypeError(f"seed is {seed!r:.60}; it must be an integer, or None for another in each run")
    if seed < 0:
        raise PipelineError(f"seed is {seed}; it must be 0 or above")


def voice_of(start_method: str | None, logs: bool, out_is_data: bool, is_drawn_over: bool) -> Voice:
    """How worker processes of a run are to speak.

    Args:
        start_method: how they are started; None: Python's default.
        logs: whether what they log and warn of comes to this program.
        out_is_data: what they print goes to standard error.
        is_drawn_over: whether this program draws on the terminal meanwhile, so that nobody else may write there.
    """
    forks = (start_method or multiprocessing.get_start_method()) == "fork"
    written_here = {what for what in ("out", "err") if is_drawn_over or not is_plain(what)}
    if out_is_data:
        written_here.clear()
    return Voice(
        logs=log_levels() if logs else None,
        warns=logs,
        filters=warning_filters() if logs and not forks else None,
        prints=frozenset(written_here),
    )


def brief_workers(works: Iterable[WorkNode], seed: int | None, voice: Voice) -> None:
    """Tell the workers of these stages, before any is started.

    Args:
        works: the stages.
        seed: of the run; None: another in each.
        voice: how processes speak.
    """
    run_seed = int.from_bytes(os.urandom(8), "little") if seed is None else mix(seed)
    for node in works:
        node.pool.run_seed = run_seed
        # An executor's workers are shared with others, and so are its processes' generators.
        node.seeded = seed is not None and node.spec.where != "executor"
        node.job = dataclasses.replace(
            node.job,
            item_seeds=mix(run_seed, node.spec.name) if node.seeded else None,
            voice=voice if node.spec.where == "processes" else None,
        )
