"""TaskOptions: what is said of a call beside what is called."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

__all__ = ["TaskOptions", "checked_options"]


@dataclass(frozen=True, slots=True)
class TaskOptions:
    """How a call is made."""

    timeout: float | None = None
    """Seconds that it may take once it has begun; None: as long as it takes."""
    retries: int = 0
    """How often it is tried again after it failed."""
    backoff: float = 0.0
    """Seconds before the second attempt; doubled for each further one, and spread at random."""


def checked_options(before: TaskOptions, **given: Any) -> TaskOptions:
    """Options with some of them replaced.

    Args:
        before: the options to start with.
        given: fields of `TaskOptions`.

    Raises:
        TypeError: a value is of a type that it cannot have.
        ValueError: a value is out of its range.
    """
    if "timeout" in given and given["timeout"] is not None:
        _check_number(
            "timeout", given["timeout"], "a number of seconds above 0, or None", least_is_allowed=False
        )
    if "backoff" in given:
        _check_number("backoff", given["backoff"], "a number of seconds, 0 or more", least_is_allowed=True)
    if "retries" in given:
        retries = given["retries"]
        if isinstance(retries, bool) or not isinstance(retries, int):
            raise TypeError(f"retries is {retries!r:.60}; it must be a whole number, 0 or more")
        if retries < 0:
            raise ValueError(f"retries is {retries}; it must be 0 or more")
    return dataclasses.replace(before, **given)


def _check_number(name: str, value: Any, wanted: str, *, least_is_allowed: bool) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} is {value!r:.60}; it must be {wanted}")
    if math.isnan(value) or value < 0 or (value == 0 and not least_is_allowed):
        raise ValueError(f"{name} is {value}; it must be {wanted}")
