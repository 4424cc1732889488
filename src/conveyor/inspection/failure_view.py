"""FailureView: failures of one kind in a running pipeline, as they are seen from outside."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from .snapshot_fields import SnapshotFields

__all__ = ["FailureView"]


@dataclass(frozen=True, slots=True)
class FailureView:
    """The failures of one stage with one class of exception; all but the counts is of the last of them."""

    stage: str
    kind: str
    """The exception's class, as in `json.decoder.JSONDecodeError`."""
    count: int
    """Items that were given up."""
    retries: int
    """Attempts that failed, and were or will be followed by another."""
    number: int
    """The item's place in the stage's input, from 0."""
    item: str
    """Its `repr`, shortened."""
    attempts: int
    """How often it was tried."""
    message: str
    where: str
    """Innermost place outside conveyor, as in `tools.py:12 in parse`; empty if there is none."""
    traceback: str
    """That in the worker, formatted, several lines; empty if there was none."""
    pid: int
    """The process that had the item; 0: that of the run."""
    time: float
    """When it was told of, in seconds since the epoch."""

    @classmethod
    def of(cls, fields: SnapshotFields) -> FailureView:
        """The failures that a snapshot tells of.

        Raises:
            CorruptSegment: they cannot be as the snapshot says.
        """
        texts: dict[str, Any] = {key: fields.lines(key) for key in ("message", "traceback")}
        return cls(**{**fields.values_of(cls), **texts})

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)
