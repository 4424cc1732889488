"""PoolPort: what a worker pool may ask of its stage."""

from __future__ import annotations

from typing import Any, Protocol

from ..graph.stage import Stage
from ..worker.serve import Job
from .handle import WorkerHandle
from .stage_port import StagePort

__all__ = ["PoolPort"]


class PoolPort(StagePort, Protocol):
    """The stage whose workers a pool has."""

    @property
    def spec(self) -> Stage:
        """What was said of it."""
        ...

    @property
    def specs(self) -> list[Stage]:
        """What its workers do to an item, one after the other; the first is `spec`."""
        ...

    @property
    def job(self) -> Job:
        """The same as workers need it."""
        ...

    @property
    def waiting(self) -> int:
        """Items that no worker has."""
        ...

    def listens_to(self, handle: WorkerHandle) -> bool:
        """Whether the worker's results are to be taken now."""
        ...

    def gather(self) -> None:
        """Put out the results whose turn has come."""
        ...

    def take_rest(self, values: list[Any], rank: int, start: int) -> None:
        """Take what a worker gave when it tore down.

        Args:
            values: that.
            rank, start: see `IdentityWords`.
        """
        ...
