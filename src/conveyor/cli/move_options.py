"""MoveOptions: what the command line of `conveyor move` and `conveyor retry` says, checked."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from .exit_codes import CommandError
from .moving import Choice

__all__ = ["MoveOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveOptions:
    """Which items go, and how."""

    verb: str
    """As in "move"."""
    done: str
    """As it is said of what was done: "moved"."""
    choice: Choice
    count: int | None
    """How many at most; None: all."""
    timeout: float | None
    """Seconds to wait for room; None: for ever."""
    force: bool
    """Nobody is asked."""
    dry_run: bool
    """Nothing is moved."""
    as_json: bool
    """A JSON object says how many were moved."""

    def __post_init__(self) -> None:
        """Raises CommandError: `count` is none."""
        if self.most < 1:
            raise CommandError(f"-n is {self.count}; it must be at least 1")

    @property
    def most(self) -> int:
        """How many at most, as a number."""
        return sys.maxsize if self.count is None else self.count
