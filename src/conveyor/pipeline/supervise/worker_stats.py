"""WorkerAccount: what one worker did, from its start to its end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .handle import Hand

__all__ = ["WorkerAccount", "account_of", "peak_memory"]


@dataclass(frozen=True, slots=True)
class WorkerAccount:
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


def account_of(hand: Hand, memory: int, end: str = "", gone: bool = True) -> WorkerAccount:
    """What the hand's slate says."""
    slate = hand.slate
    now = hand.now()
    return WorkerAccount(
        pid=hand.pid,
        items=slate.items,
        # One that was told to leave before it was ready has done nothing but start.
        start_seconds=max((hand.ready_at if hand.ready else now) - hand.started, 0.0),
        busy_seconds=slate.busy * 1e-9,
        wait_seconds=slate.waited * 1e-9,
        born=hand.started,
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
