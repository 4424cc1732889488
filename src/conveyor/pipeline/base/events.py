"""What an engine tells its caller, one frozen dataclass for each kind of news."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import Any, TypeAlias

from .failure import Failure

__all__ = [
    "CrashLoop",
    "Event",
    "FewerWorkers",
    "ItemFailed",
    "ItemRetried",
    "OutletClosed",
    "Results",
    "Tick",
    "WorkerDied",
    "WorkerStuck",
    "describe_exit",
]


@dataclass(frozen=True, slots=True)
class Results:
    """What came out of the last stage: in input order, or as it came if that stage is unordered."""

    values: list[Any]


@dataclass(frozen=True, slots=True)
class ItemFailed:
    """An item is given up. Told at once, ahead of the results of earlier items."""

    failure: Failure


@dataclass(frozen=True, slots=True)
class ItemRetried:
    """An item failed and will be tried again."""

    failure: Failure
    seconds: float
    """From now."""


@dataclass(frozen=True, slots=True)
class WorkerDied:
    """A worker process ended without being told to. Another takes its place when there is work."""

    stage: str
    pid: int
    exitcode: int | None
    """As of `multiprocessing.Process`: minus the signal's number, or the exit status; None: it cannot be known."""
    number: int | None
    """Place in the stage's input of the item that it was working on; None: it had none."""
    item: Any
    calls: tuple[str, ...]
    """If native code crashed: the innermost calls, as in `tools.py:12 in parse`; else empty."""
    cause: str
    """What is likely to have killed it, if that is known better than from the signal; else empty."""

    @property
    def reason(self) -> str:
        """How it ended, in words."""
        return describe_exit(self.exitcode, self.cause)

    @property
    def fate(self) -> str:
        """The same as a predicate: `was killed by SIGKILL`, `exited with status 3`."""
        return f"was {self.reason}" if self.exitcode is not None and self.exitcode < 0 else self.reason


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
    """Time has passed: a moment to look at the figures and redraw."""


Event: TypeAlias = (
    Results
    | ItemFailed
    | ItemRetried
    | WorkerDied
    | CrashLoop
    | FewerWorkers
    | OutletClosed
    | WorkerStuck
    | Tick
)

# What usually stands behind a signal, where its name alone helps nobody.
_LIKELY = {
    signal.SIGKILL: "by hand, or out of memory: see dmesg",
    signal.SIGSEGV: "a crash in native code",
    signal.SIGBUS: "a crash in native code, or a mapped file that shrank",
    signal.SIGABRT: "native code gave up",
    signal.SIGXCPU: "its CPU time limit",
    signal.SIGXFSZ: "its file size limit",
}


def describe_exit(exitcode: int | None, cause: str = "") -> str:
    """Say how a process ended: `killed by SIGKILL (…)` or `exited with status 3`.

    Args:
        exitcode: as of `multiprocessing.Process`; None: it cannot be known.
        cause: what is known better than what the signal suggests.
    """
    if exitcode is None:
        return "ended, exit code unknown (the program ignores SIGCHLD, or waits for any child)"
    if exitcode >= 0:
        return f"exited with status {exitcode}"
    try:
        number = signal.Signals(-exitcode)
    except ValueError:
        return f"killed by signal {-exitcode}"
    likely = cause or _LIKELY.get(number)
    return f"killed by {number.name} ({likely})" if likely else f"killed by {number.name}"
