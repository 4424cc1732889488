"""Limits: how long a worker may take for what it is at."""

from __future__ import annotations

from ..graph.stage import Stage
from .handle import WorkerHandle
from .stint import Stint

__all__ = ["LEAVE_SECONDS", "Limits"]

LEAVE_SECONDS = 5.0
"""What a worker with nothing left to do may take until its teardown begins, and from its end until it is gone."""
# When the run is over before its work is done, a worker may be at an item for so long, and then tear down.
_CUT_SHORT_SECONDS = 1.0
_NEVER = float("inf")


class Limits:
    """The limits of one stage.

    Args:
        spec: what it says of them.
    """

    def __init__(self, spec: Stage) -> None:
        self._of = {
            Stint.SETUP: spec.setup_timeout,
            Stint.ITEM: spec.timeout,
            Stint.TEARDOWN: spec.teardown_timeout,
        }
        self.shortest: float | None = min(
            (limit for limit in self._of.values() if limit is not None), default=None
        )
        """The shortest of them; None: there is none."""
        self.cut_short_at: float | None = None
        """When the run was over before its work was done; None: it is not."""

    def of(self, stint: Stint) -> float:
        """Seconds that it may take."""
        limit = LEAVE_SECONDS if stint is Stint.LEAVING else self._of[stint]
        return _NEVER if limit is None else limit

    def of_item(self, handle: WorkerHandle) -> float:
        """Seconds that the item may take that the worker is at."""
        return self.of(Stint.ITEM)

    def due(self, handle: WorkerHandle) -> tuple[float, Stint]:
        """When the worker will have taken too long for what it is at, and what that is."""
        status_page = handle.status_page
        if handle.left_at:
            return handle.left_at + LEAVE_SECONDS, Stint.LEAVING
        if since := status_page.teardown_since:
            return since + self.of(Stint.TEARDOWN), Stint.TEARDOWN
        if self.cut_short_at is not None:
            return self.cut_short_at + _CUT_SHORT_SECONDS, Stint.LEAVING
        if handle.shutting_down and not handle.outstanding:
            return handle.shutting_down_since + LEAVE_SECONDS, Stint.LEAVING
        if not handle.ready and (since := status_page.setup_since):
            return since + self.of(Stint.SETUP), Stint.SETUP
        if handle.outstanding and (since := status_page.since):
            # One that waits for its results to be taken is not late.
            return max(since, handle.held_up_at) + self.of_item(handle), Stint.ITEM
        return _NEVER, Stint.ITEM
