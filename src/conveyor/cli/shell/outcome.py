"""Outcome: what became of one item of `conveyor map`, where more is asked than its result."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass

__all__ = ["CommandFailed", "Outcome"]

# What an output in a file counts for against the bound on what waits in memory: so few such files are open.
_FILE_WEIGHT = 1024 * 1024


@dataclass(slots=True)
class Outcome:
    """One attempt at an item, that has ended."""

    number: int
    """The item's place in the input, from 1."""
    arguments: tuple[bytes, ...]
    began: float
    """By `time.time`."""
    seconds: float
    """That it took."""
    exit_code: int = 0
    """As the program said it; -1: it was ended, or not started."""
    signal: int = 0
    """What killed it; 0: nothing did."""
    out: bytes = b""
    """What it wrote to standard output, unless that is in `out_file`."""
    err: bytes = b""
    """The same of standard error."""
    out_file: int = -1
    """A descriptor of a file that has it all; -1: there is none."""
    err_file: int = -1
    """The same of standard error."""
    problem: str = ""
    """Why it was ended or not started; empty: it ran."""
    mark: bytes = b""
    """See `MapItem`."""

    @property
    def failed(self) -> bool:
        """Whether it is to be told of, and tried again if there is an attempt left."""
        return bool(self.exit_code or self.signal or self.problem)

    @property
    def nbytes(self) -> int:
        """What it weighs while it waits for its turn."""
        files = (self.out_file >= 0) + (self.err_file >= 0)
        return len(self.out) + len(self.err) + files * _FILE_WEIGHT

    def close(self) -> None:
        """Let go of what it holds; what became of the item stays."""
        for fd in (self.out_file, self.err_file):
            if fd >= 0:
                os.close(fd)
        self.out_file = self.err_file = -1
        self.out = self.err = b""

    def __str__(self) -> str:
        if self.problem:
            return self.problem
        if self.signal:
            try:
                return f"killed by {signal.Signals(self.signal).name}"
            except ValueError:
                return f"killed by signal {self.signal}"
        return f"exit code {self.exit_code}"


class CommandFailed(Exception):
    """A command did not end with exit code 0."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(str(outcome))
        self.outcome = outcome
