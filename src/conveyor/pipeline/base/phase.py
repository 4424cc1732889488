"""Phase: how far a run is from its end."""

from __future__ import annotations

from enum import IntEnum

__all__ = ["Phase"]


class Phase(IntEnum):
    """How far a run is from its end."""

    RUNNING = 0
    DRAINING = 1  # no more input; all that was taken in is finished
    LAST = 2  # what workers have begun is finished
    HALTED = 3  # nothing moves any more; workers may finish the current item if that is soon, and tear down
    STOPPED = 4  # workers are killed
