"""Report: the figures of a run."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Report"]


@dataclass(frozen=True, slots=True)
class Report:
    """How far a run is, or how it ended. All fields but `seconds` count things."""

    taken: int
    """Items taken from the input. Each is in exactly one of the next six fields' counts."""
    done: int
    """Items whose function returned, and whose result has been handed out."""
    pending: int
    """Items whose function returned, and whose result waits for its turn."""
    failed: int
    """Items whose function raised, those that could not be sent to a worker included."""
    lost: int
    """Items on which a worker died."""
    in_flight: int
    """Items that workers have and have not finished; after the end of a run: that were cut off."""
    not_begun: int
    """Items taken from the input that no worker has."""
    workers: int
    """Worker processes alive."""
    started: int
    """Worker processes started in all."""
    deaths: int
    """Workers that ended without being told to."""
    seconds: float
    """Time since the start."""

    @property
    def rate(self) -> float:
        """Items dealt with per second, over the whole run."""
        return (self.done + self.failed + self.lost) / self.seconds if self.seconds > 0 else 0.0
