"""Beginning: how a run begins to write to where its results go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Beginning"]


@dataclass(frozen=True, slots=True)
class Beginning:
    """How a run begins to write to where its results go."""

    resumable: bool = False
    """Whether a state file keeps how far it is, so that a later run can go on from there."""
    place: Any = None
    """How far an earlier run was that is gone on with; None: there is none."""
    appends: bool = False
    """Whether what is there stays: it came of items that were acknowledged, which nobody will give again."""
