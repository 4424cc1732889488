"""Death: how and where a simulated worker is to die."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

__all__ = ["ANY", "Death", "Moment"]

Moment: TypeAlias = Literal["start", "setup", "take", "call", "part", "result", "teardown", "leave"]


class _Any:
    def __repr__(self) -> str:
        return "ANY"


ANY: Final = _Any()
"""Stands for every item."""


@dataclass(frozen=True)
class Death:
    """One death of one worker."""

    stage: str
    """The name of its stage."""
    moment: Moment
    """When it dies: before it runs any code of conveyor's (`start`), in its setup, before it takes an item (`take`),
    when it has called the function and before the result is out (`call`), when some of very many results of an item are
    out (`part`), as soon as the result is out (`result`), in its teardown, or with its last word said (`leave`)."""
    item: Any = ANY
    """Only on this item, as the stage's function gets it; `ANY`: on any."""
    nth: int = 1
    """At the how-manyth time that a worker of the stage comes to such a moment."""
    exitcode: int = -signal.SIGKILL
    """How it ends: minus a signal's number, or the exit status."""
