"""The exit codes of every verb, and the exception that carries one to `main`."""

from __future__ import annotations

from enum import IntEnum

__all__ = ["CheckCode", "CommandError", "ExitCode"]


class ExitCode(IntEnum):
    """How a command ended."""

    OK = 0
    """All is done. So is a shutdown that was asked for and drained, and a reader that had enough."""
    WORK_FAILED = 1
    """Some items failed, or a check did."""
    USAGE = 2
    """The command line is wrong, or what it names cannot be imported or read."""
    UNREACHABLE = 3
    """The queue or its broker cannot be reached."""
    TIMEOUT = 4
    """Nothing came in time, or there was nothing."""
    REFUSED = 5
    """Not done, because it was not confirmed."""
    WORKER_LOST = 6
    """A worker was lost and could not be replaced."""
    INTERRUPTED = 130
    """Stopped at once by a second Ctrl-C."""
    TERMINATED = 143
    """Stopped at once by a second SIGTERM."""


class CheckCode(IntEnum):
    """How `conveyor check` ended: not as the other verbs, but as monitoring systems have it."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3
    """Nothing can be said: it is not there, out of reach, or the command line is wrong."""


class CommandError(Exception):
    """What a verb raises to end the command with a message and an exit code."""

    def __init__(self, message: str, code: ExitCode = ExitCode.USAGE) -> None:
        super().__init__(message)
        self.code = code
