"""WorkerState: what a worker is at, as it is shown."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["WorkerState"]


class WorkerState(StrEnum):
    """What a worker is at."""

    STARTING = "starting"
    """It was created, and is not there yet."""
    SETUP = "setup"
    IDLE = "idle"
    """It has no item."""
    BUSY = "busy"
    RETRYING = "retrying"
    """It is at an item that has failed before."""
    TEARDOWN = "teardown"
    GONE = "gone"
    """It has ended in a way that was not wanted."""

    @property
    def letter(self) -> str:
        """The state in a history, in which each takes one letter; no two have the same."""
        return "u" if self is WorkerState.SETUP else self.value[0]
