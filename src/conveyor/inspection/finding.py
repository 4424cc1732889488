"""Finding: one thing that `conveyor doctor` says."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

__all__ = ["Finding", "Level"]


class Level(StrEnum):
    """How much a finding matters."""

    OK = "ok"
    NOTE = "note"
    """Worth knowing; nothing is wrong."""
    PROBLEM = "problem"
    """Somebody should do something about it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, how it is, and what to do about it."""

    about: str
    """`system` or `queue`."""
    subject: str
    """What was looked at; of a queue, its URL."""
    level: Level
    text: str
    advice: str = ""
    """What to type."""
    facts: dict[str, Any] = field(default_factory=dict[str, Any])
    """The same in plain numbers: bytes, counts, pids."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)
