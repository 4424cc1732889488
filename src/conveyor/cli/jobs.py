"""-j: how many worker processes."""

from __future__ import annotations

import re

from .._processors import processors

__all__ = ["count_jobs"]


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
    return max(1, processors() * number // 100) if match[2] else number
