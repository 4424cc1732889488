"""Rates: items per second, over the last few seconds of a run."""

from __future__ import annotations

from .progress import Progress

__all__ = ["Rates"]

_RATE_SECONDS = 5.0


class Rates:
    """Items per second, lately."""

    def __init__(self) -> None:
        self._points: list[tuple[float, tuple[int, ...]]] = []

    def sample(self, progress: Progress) -> None:
        """Take a point, and forget old ones."""
        points = self._points
        points.append((progress.seconds, tuple(stage.given for stage in progress.stages)))
        while len(points) > 2 and points[1][0] < progress.seconds - _RATE_SECONDS:
            del points[0]

    def of(self, index: int) -> float:
        """That a stage gave."""
        begin, first = self._points[0] if len(self._points) > 1 else (0.0, None)
        end, last = self._points[-1]
        given = last[index] - (first[index] if first is not None else 0)
        return given / (end - begin) if end > begin else 0.0

    def left(self, progress: Progress) -> float | None:
        """Seconds until the source has ended, if that can be told."""
        rate = self.of(0)
        share = progress.share
        if not share or share >= 1 or rate <= 0 or progress.seconds < 1:
            return None
        # By bytes, the rest of the files has as many items to a byte as what was read.
        total = progress.total or progress.taken / share
        return (total - progress.taken) / rate
