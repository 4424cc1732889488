"""What a run of workers tells its caller, one frozen dataclass for each kind of news."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import Any, TypeAlias

__all__ = [
    "CrashLoop",
    "Event",
    "Failure",
    "FewerWorkers",
    "ItemFailed",
    "OutletClosed",
    "Results",
    "Tick",
    "WorkerDied",
    "WorkerStuck",
    "describe_exit",
]


@dataclass(frozen=True, slots=True)
class Failure:
    """An exception that the function raised, told in words: the exception itself stays in its process."""

    kind: str
    """The exception's class, as in `ValueError` or `json.decoder.JSONDecodeError`."""
    message: str
    """Its text, `str(error)`; may be empty."""
    where: str
    """Innermost place outside conveyor, as in `tools.py:12 in parse`; empty if there is none."""
    traceback: str
    """The formatted traceback, if the run was asked to keep it; else empty."""

    def __str__(self) -> str:
        text = f"{self.kind}: {self.message}" if self.message else self.kind
        return f"{text} ({self.where})" if self.where else text


@dataclass(frozen=True, slots=True)
class Results:
    """What the function returned: in input order, or as it came if the run is unordered.

    Items that failed have no place in it.
    """

    values: list[Any]


@dataclass(frozen=True, slots=True)
class ItemFailed:
    """The function raised on this item. Told at once, ahead of the results of earlier items."""

    number: int
    """The item's place in the input, from 0."""
    item: Any
    failure: Failure


@dataclass(frozen=True, slots=True)
class WorkerDied:
    """A worker process ended without being told to. Another takes its place when there is work."""

    pid: int
    exitcode: int
    """As of `multiprocessing.Process`: minus the signal's number, or the exit status."""
    number: int | None
    """Place in the input of the item that it was working on, which counts as failed; None: it had none."""
    item: Any
    calls: tuple[str, ...]
    """If native code crashed: the innermost calls, as in `tools.py:12 in parse`; else empty."""

    @property
    def reason(self) -> str:
        """How it ended, in words."""
        return describe_exit(self.exitcode)


@dataclass(frozen=True, slots=True)
class CrashLoop:
    """Too many workers died one after another, and none finished an item in between: the run stops."""

    deaths: int
    last: WorkerDied


@dataclass(frozen=True, slots=True)
class OutletClosed:
    """Whoever read the results has gone; the run goes on until it is stopped."""


@dataclass(frozen=True, slots=True)
class FewerWorkers:
    """The system would start no more processes; the run goes on with those that it has."""

    workers: int
    error: OSError


@dataclass(frozen=True, slots=True)
class WorkerStuck:
    """A worker had nothing left to do but did not leave, and was killed."""

    pid: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed: a moment to look at `report()` and redraw."""


Event: TypeAlias = (
    Results | ItemFailed | WorkerDied | CrashLoop | FewerWorkers | OutletClosed | WorkerStuck | Tick
)

# What usually stands behind a signal, where its name alone helps nobody.
_LIKELY = {
    signal.SIGKILL: "by hand, or out of memory: see dmesg",
    signal.SIGSEGV: "a crash in native code",
    signal.SIGBUS: "a crash in native code, or a mapped file that shrank",
    signal.SIGABRT: "native code gave up",
    signal.SIGXCPU: "its CPU time limit",
}


def describe_exit(exitcode: int) -> str:
    """Say how a process ended: `killed by SIGKILL (…)` or `exited with status 3`."""
    if exitcode >= 0:
        return f"exited with status {exitcode}"
    try:
        number = signal.Signals(-exitcode)
    except ValueError:
        return f"killed by signal {-exitcode}"
    likely = _LIKELY.get(number)
    return f"killed by {number.name} ({likely})" if likely else f"killed by {number.name}"
