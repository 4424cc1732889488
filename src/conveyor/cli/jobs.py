"""-j: how many worker processes."""

from __future__ import annotations

import os
import re

__all__ = ["count_jobs", "usable_cpus"]


def usable_cpus() -> int:
    """Processors that this process may run on."""
    return len(os.sched_getaffinity(0))


def count_jobs(text: str) -> int:
    """The number that `4` or `50%` (of the usable processors, at least one) stands for.

    Raises:
        ValueError: it is neither.
    """
    match = re.fullmatch(r"(\d{1,5})(%?)", text.strip())
    number = int(match[1]) if match else 0
    if match is None or number < 1:
        raise ValueError(
            f"{text!r}; it must be a number from 1, as in 4, or a share of the processors, as in 50%"
        )
    return max(1, usable_cpus() * number // 100) if match[2] else number
