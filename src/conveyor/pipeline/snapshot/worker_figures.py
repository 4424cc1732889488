"""WorkerFigures: what a worker is at and what it has done, at one moment."""

from __future__ import annotations

from dataclasses import dataclass

from ..base.worker_state import WorkerState
from ..supervise.handle import WorkerHandle

__all__ = ["WorkerFigures"]

_TRIES = 3


@dataclass(frozen=True, slots=True)
class WorkerFigures:
    """A worker at one moment, by its status page."""

    state: WorkerState
    since: float
    """When it began its item, by `time.monotonic`; 0: it has none."""
    busy_seconds: float
    """Spent on the items that it has finished."""
    wait_seconds: float
    items: int
    """Finished, failed ones included."""
    attempt: int
    """How often its item was begun; 0: it has none."""

    @classmethod
    def of(cls, handle: WorkerHandle) -> WorkerFigures:
        """Those of a worker, now."""
        page = handle.status_page
        since, busy, items = page.since, page.busy, page.items
        for _ in range(_TRIES):  # it must not finish an item between one word and the next
            since, before = page.since, since
            if since == before:
                break
            busy, items = page.busy, page.items
        attempt = handle.attempt if since else 0
        return cls(_state(handle, since, attempt), since, busy * 1e-9, page.waited * 1e-9, items, attempt)

    def busy_by(self, now: float) -> float:
        """Seconds spent on items until then, those on the current one included."""
        return self.busy_seconds + (max(now - self.since, 0.0) if self.since else 0.0)


def _state(handle: WorkerHandle, since: float, attempt: int) -> WorkerState:
    page = handle.status_page
    if handle.left_at or page.teardown_since:
        return WorkerState.TEARDOWN
    if page.setup_since:
        return WorkerState.SETUP
    if since:
        return WorkerState.RETRYING if attempt > 1 else WorkerState.BUSY
    if not handle.ready:
        return WorkerState.STARTING
    # We often look just when a result has come, and then it is about to take the next item.
    return WorkerState.BUSY if handle.outstanding and not handle.has_results() else WorkerState.IDLE
