"""Halt: when a run of `conveyor map` is to end early."""

from __future__ import annotations

import re
from typing import Literal

__all__ = ["Halt", "When"]

When = Literal["now", "soon"]

_SHORT = {
    "never": "",
    "0": "",
    "soon": "soon,fail=1",
    "1": "soon,fail=1",
    "now": "now,fail=1",
    "2": "now,fail=1",
}
_LONG = re.compile(r"(?P<when>now|soon),(?P<what>fail|success|done)=(?P<count>\d+)(?P<share>%?)")
_LEAST = 3  # a share is not asked of fewer items


class Halt:
    """Counts what ends, and says when that is enough.

    Args:
        text: `never`, `soon` or `now`, or as GNU parallel has it: `now,fail=1`, `soon,fail=10%`, `now,success=1`.

    Raises:
        ValueError: it is neither.
    """

    def __init__(self, text: str) -> None:
        text = _SHORT.get(text, text)
        match = _LONG.fullmatch(text) if text else None
        if text and (match is None or not int(match["count"])):
            raise ValueError(
                f"{text!r}; it must be never, soon or now, or as in now,fail=1 or soon,fail=10% or now,success=1"
            )
        self._when: When = "now" if match is not None and match["when"] == "now" else "soon"
        self.what = match["what"] if match is not None else ""
        """What is counted: `fail`, `success` or `done`; empty: nothing."""
        self._count = int(match["count"]) if match is not None else 0
        self._is_share = match is not None and match["share"] == "%"
        self._counted = self._ended = 0
        self.reached = False
        """Whether it was enough."""

    def note(self, failed: bool) -> When | None:
        """An item has ended for good; returns how the run is to end, when that is due."""
        self._ended += 1
        if self.what not in ("done", "fail" if failed else "success"):
            return None
        self._counted += 1
        if self._is_share:
            enough = self._ended >= _LEAST and 100 * self._counted >= self._count * self._ended
        else:
            enough = self._counted >= self._count
        if not enough or self.reached:
            return None
        self.reached = True
        return self._when
