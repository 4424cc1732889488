"""StageView: a stage of a running pipeline, as it is seen from outside."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from .snapshot_fields import SnapshotFields

__all__ = ["StageView"]


@dataclass(frozen=True, slots=True)
class StageView:
    """A stage; the source and the ends are stages, too. What is counted only grows."""

    name: str
    kind: str
    """Who does it: `processes`, `threads`, `coroutines`, `executor`, or `engine`: the run's process by the way."""
    feeds: tuple[int, ...]
    """The stages behind it, by where they stand in `PipelineView.stages`."""
    taken: int
    """Items that came in."""
    given: int
    """Items that went on."""
    failures: int
    """Items that failed for good."""
    retries: int
    waiting: int
    """Items before it, or in it, that no worker has: the depth between it and the stage before."""
    in_flight: int
    """Items that its workers have."""
    workers: int
    """There now; 0: it needs none, or none has come yet."""
    most_workers: int
    """How many it may have."""
    deaths: int
    """Workers that died."""
    ended: bool
    """Whether nothing more will come out of it."""
    bottleneck: bool
    """Whether it held up the others in the last few seconds."""
    load: float
    """The share of its workers' time, or of the run's process's, that it was busy in the last few seconds; 0 to 1."""
    rate: float
    """Items that it gave per second, in the last few seconds."""

    @classmethod
    def of(cls, fields: SnapshotFields) -> StageView:
        """The stage that a snapshot tells of.

        Raises:
            CorruptSegment: it cannot be as the snapshot says.
        """
        values = fields.values_of(cls)
        return cls(**{**values, "load": min(values["load"], 1.0)})

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)
