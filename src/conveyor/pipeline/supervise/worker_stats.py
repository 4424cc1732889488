"""WorkerStats: what one worker did, from its start to its end."""

from __future__ import annotations

from dataclasses import dataclass

from .handle import WorkerHandle

__all__ = ["WorkerAccount", "WorkerStats", "peak_memory", "stats_of"]


@dataclass(frozen=True, slots=True)
class WorkerStats:
    """One worker's figures."""

    pid: int
    """Its process; 0: a thread or a coroutine of the engine's."""
    items: int
    """Items finished, failed ones included."""
    start_seconds: float
    """From its creation until it was there."""
    busy_seconds: float
    """Spent on items, putting their results included."""
    wait_seconds: float
    """Spent waiting for items."""
    born: float
    """When it was created, by the clock of the run, which is `time.monotonic`."""
    died: float | None
    """When it was gone; None: it is there."""
    end: str
    """How it ended, if it was not told to: `killed by SIGKILL`, `timed out`; else empty."""
    peak_memory: int
    """Bytes; 0: not known."""


WorkerAccount = WorkerStats
"""Its former name, which stands in pickles."""


def stats_of(handle: WorkerHandle, memory: int, end: str = "", gone: bool = True) -> WorkerStats:
    """What the worker's status page says."""
    status_page = handle.status_page
    now = handle.now()
    return WorkerStats(
        pid=handle.pid,
        items=status_page.items,
        # One that was told to leave before it was ready has done nothing but start.
        start_seconds=max((handle.ready_at if handle.ready else now) - handle.started, 0.0),
        busy_seconds=status_page.busy * 1e-9,
        wait_seconds=status_page.waited * 1e-9,
        born=handle.started,
        died=now if gone else None,
        end=end,
        peak_memory=memory,
    )


def peak_memory(pid: int) -> int:
    """The most memory that a process had in RAM, in bytes; 0 if that cannot be told."""
    try:
        with open(f"/proc/{pid}/status", "rb") as file:  # noqa: PTH123 - twice as fast as Path, and often called
            text = file.read()
    except OSError:
        return 0
    at = text.find(b"VmHWM:")
    return int(text[at + 6 :].split(None, 1)[0]) * 1024 if at >= 0 else 0
