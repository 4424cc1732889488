"""processors: how many of them this process may use, as its container, its affinity and its user have it."""

from __future__ import annotations

import math
import os
import sys
import time
from pathlib import Path

from ._control_groups.control_group import GROUPS, PROC, control_groups

__all__ = ["processors", "quota"]


def processors(proc: Path = PROC, groups: Path = GROUPS) -> int:
    """How many processors this process may keep busy, at least one.

    What `python -X cpu_count=N` or `PYTHON_CPU_COUNT` say counts, in all versions of Python. Else it is the number of
    those that it may run on, or the time that its control group gives it, if that is less: a quota of one and a half
    processors is two.

    Args:
        proc, groups: where the system tells of processes and of control groups.
    """
    said = _said()
    if said is not None:
        return said
    usable = len(os.sched_getaffinity(0))
    limit = _kept_quota() if (proc, groups) == (PROC, GROUPS) else quota(proc, groups)
    return usable if limit is None else max(1, min(usable, math.ceil(limit - 1e-6)))


# A run asks several times, and each time several files are read.
_KEPT_SECONDS = 1.0
_kept: tuple[float, float | None] = -math.inf, None


def _kept_quota() -> float | None:
    """The quota as it was at most a second ago."""
    global _kept
    at, limit = _kept
    now = time.monotonic()
    if now - at > _KEPT_SECONDS:
        limit = quota()
        _kept = now, limit
    return limit


def _said() -> int | None:
    options: dict[str, str | bool] = sys._xoptions  # pyright: ignore[reportPrivateUsage] - the public name of it
    for text in (options.get("cpu_count"), os.environ.get("PYTHON_CPU_COUNT")):
        if isinstance(text, str) and text.strip().isdecimal() and int(text) > 0:
            return int(text)
    return None


def quota(proc: Path = PROC, groups: Path = GROUPS) -> float | None:
    """Processors' worth of time that the control group of this process has, and those above it; None: no limit.

    Args:
        proc, groups: as for `processors`.
    """
    limits = [group.processors() for group in control_groups("cpu", proc, groups)]
    return min((limit for limit in limits if limit is not None), default=None)
