"""bytes_of: a number of bytes as people write it."""

from __future__ import annotations

import os
import re
from typing import Any

from ..._control_groups import control_groups
from ...errors import PipelineError

__all__ = ["bytes_of"]

_UNITS = {"": 1, "b": 1}
for _power, _letter in enumerate("kmgt", 1):
    _UNITS[_letter] = _UNITS[f"{_letter}ib"] = 1024**_power
    _UNITS[f"{_letter}b"] = 1000**_power
_TEXT = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*|%)", re.IGNORECASE)


def bytes_of(value: Any, what: str = "the size") -> int:
    """A number of bytes.

    Args:
        value: bytes, or a text: `"500MB"` (a million each), `"500MiB"` or `"500M"` (2**20 each), `"10%"` of the memory
            that this machine has, or that its control group allows it.
        what: what it is the size of, for errors.

    Raises:
        TypeError: it is neither.
        PipelineError: it says no number of bytes above 0.
    """
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise TypeError(
            f'{what} is {value!r}; it must be a number of bytes, or a text as in "500MB" or "10%"'
        )
    found = value if isinstance(value, int) else _parse(value)
    if found <= 0:
        raise PipelineError(f'{what} is {value!r}; it must be above 0, as in "500MB", "2GiB" or "10%"')
    return found


def _parse(text: str) -> int:
    match = _TEXT.fullmatch(text.strip())
    if match is None:
        return 0
    number, unit = float(match[1]), match[2].lower()
    if unit == "%":
        return int(number / 100 * _memory()) if number <= 100 else 0
    return int(number * _UNITS.get(unit, 0))


def _memory() -> int:
    """Bytes that this machine has, or that its control group allows."""
    limits = (group.memory() for group in control_groups("memory"))
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([there, *(limit.limit for limit in limits if limit is not None)])
