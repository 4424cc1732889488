"""processors: how many of them this process may use, as its container, its affinity and its user have it."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

__all__ = ["processors", "quota"]

_PROC = Path("/proc")
_GROUPS = Path("/sys/fs/cgroup")


def processors(proc: Path = _PROC, groups: Path = _GROUPS) -> int:
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
    limit = _kept_quota() if (proc, groups) == (_PROC, _GROUPS) else quota(proc, groups)
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


def quota(proc: Path = _PROC, groups: Path = _GROUPS) -> float | None:
    """Processors' worth of time that the control group of this process has, and those above it; None: no limit.

    Args:
        proc, groups: as for `processors`.
    """
    try:
        lines = (proc / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return None
    found: list[float] = []
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            # Version 2, by itself or beside version 1.
            for root in (groups, groups / "unified"):
                found += _chain(root, path, _limit_of_2)
        elif "cpu" in controllers.split(","):
            for root in dict.fromkeys((groups / controllers, groups / "cpu")):
                found += _chain(root, path, _limit_of_1)
    return min(found, default=None)


def _chain(root: Path, path: str, limit_of: Callable[[Path], float | None]) -> Iterator[float]:
    """The limits of a group and of all those that it is in, as far as they can be seen."""
    # In a container the path may be that of the host, and our own group is mounted at the root.
    inside = Path(*(part for part in path.split("/") if part not in ("", "..")))
    for folder in (inside, *inside.parents):
        try:
            limit = limit_of(root / folder)
        except (OSError, ValueError):
            continue
        if limit is not None:
            yield limit


def _limit_of_2(folder: Path) -> float | None:
    limit, period = (folder / "cpu.max").read_text().split()
    return None if limit == "max" else int(limit) / int(period)


def _limit_of_1(folder: Path) -> float | None:
    limit = int((folder / "cpu.cfs_quota_us").read_text())
    return None if limit <= 0 else limit / int((folder / "cpu.cfs_period_us").read_text())
