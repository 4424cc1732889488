"""WorkerView: a worker of a running pipeline, as it is seen from outside."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from typing import Any

from ..errors import CorruptSegment
from ..pipeline.base.worker_state import WorkerState
from .snapshot_fields import SnapshotFields

__all__ = ["WorkerView", "resident_memory"]

_PAGE = os.sysconf("SC_PAGESIZE")


@dataclass(frozen=True, slots=True)
class WorkerView:
    """A worker: a process, a thread or a coroutine."""

    stage: str
    """The name of its stage."""
    stage_number: int
    """Where that stands in `PipelineView.stages`."""
    place: int | None
    """Its number in the stage, from 0, which the worker after it takes over; None: it is gone."""
    pid: int
    """Its process; 0: it is a thread or a coroutine of the run's process, or an executor has it."""
    state: WorkerState
    busy_seconds: float
    """Spent on the items that it has finished."""
    wait_seconds: float
    items: int
    """Finished, failed ones included."""
    item_seconds: float | None
    """How long it had been at its item when the snapshot was taken; None: it had none."""
    attempt: int
    """How often that item was begun; 0: it had none."""
    outstanding: int
    """Items that it was given, and that have no result yet."""
    restarts: int
    """Workers that ended in its place before it, in a way that was not wanted."""
    end: str
    """If it is gone: how it ended, as in `killed by SIGKILL`; else empty."""
    history: str
    """What it was at in the last half minute, a letter for each snapshot, about two a second: the first of the states'
    names, but `u` for setup. Idle or busy it was for most of the time since the letter before."""
    rss: int | None
    """Bytes of its process in RAM; 0: that has just ended; None: it has none, or that cannot be told."""

    @classmethod
    def of(cls, fields: SnapshotFields, stages: list[str], at: float, same_pids: bool) -> WorkerView:
        """The worker that a snapshot tells of.

        Args:
            fields: the snapshot's.
            stages: the names of all stages.
            at: when the snapshot was taken.
            same_pids: whether its pids are those by which we know processes.

        Raises:
            CorruptSegment: it cannot be as the snapshot says.
        """
        number = fields.count("stage")
        if number >= len(stages):
            raise CorruptSegment(f"a worker is of stage {number} in the snapshot of a run, which has no such")
        text = fields.text("state")
        try:
            state = WorkerState(text)
        except ValueError:
            raise CorruptSegment(
                f"a worker is {text!r:.60} in the snapshot of a run; it must be one of {', '.join(WorkerState)}"
            ) from None
        pid = fields.count("pid")
        there = same_pids and pid > 0 and state is not WorkerState.GONE
        return cls(
            stage=stages[number],
            stage_number=number,
            place=fields.count("place") if fields.has("place") else None,
            pid=pid,
            state=state,
            busy_seconds=fields.number("busy_seconds"),
            wait_seconds=fields.number("wait_seconds"),
            items=fields.count("items"),
            item_seconds=max(at - fields.number("since"), 0.0) if fields.has("since") else None,
            attempt=fields.count("attempt"),
            outstanding=fields.count("outstanding"),
            restarts=fields.count("restarts"),
            end=fields.text("end"),
            history=fields.text("history"),
            rss=resident_memory(pid) if there else None,
        )

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def resident_memory(pid: int) -> int | None:
    """Bytes of a process that are in RAM; 0: it has ended; None: that cannot be told."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:  # noqa: PTH123 - twice as fast as Path, and often called
            return int(file.read().split()[1]) * _PAGE
    except FileNotFoundError:
        return 0
    except (OSError, ValueError, IndexError):
        return None
