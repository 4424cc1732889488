"""What `conveyor map` does to an item: a function in processes, a command in threads, or nothing but to show it."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable
from typing import Any, Protocol

from .exit_codes import CommandError
from .line_function import LineFunction
from .map_item import MapItem
from .shell.command import ShellCommand
from .shell.outcome import Outcome
from .shell.template import Template
from .target import TargetError

__all__ = ["CommandWork", "DryRun", "FunctionWork", "Work"]

# A command that starts has so many: two for each stream, one for its end. Then those of conveyor itself.
_DESCRIPTORS = 5
_OTHER_DESCRIPTORS = 24
_GOING_SECONDS = 2.0  # that commands may take to go when all is to end


class Work(Protocol):
    """The work of a run, as its stage and its messages need it."""

    @property
    def function(self) -> Callable[[Any], Any]:
        """What the stage calls."""
        ...

    @property
    def name(self) -> str:
        """The stage's."""
        ...

    def place(self, workers: int, timeout: float | None) -> dict[str, Any]:
        """Where it runs: arguments of `Pipeline.map`."""
        ...

    def shown(self, item: MapItem) -> bytes:
        """What is done for an item, as one would type it."""
        ...

    def stop(self) -> None:
        """End what is going on; safe in a signal handler."""
        ...

    def wait_gone(self) -> None:
        """After `stop`: wait until it has ended, if that does not take long."""
        ...


class FunctionWork:
    """A function of lines or items, in worker processes.

    Args:
        target, jsonl: see `LineFunction`.
        outcomes: it is called with `MapItem`s, and gives an `Outcome` for each.

    Raises:
        CommandError: there is no such function.
    """

    def __init__(self, target: str, jsonl: bool, outcomes: bool) -> None:
        lines = LineFunction(target, jsonl)
        try:
            lines.load()
        except TargetError as error:
            raise CommandError(str(error)) from None
        self.function: Callable[[Any], Any] = _Logged(lines) if outcomes else lines
        self.name = target

    def place(self, workers: int, timeout: float | None) -> dict[str, Any]:
        """See `Work`."""
        return {"workers": workers, "timeout": timeout}

    def shown(self, item: MapItem) -> bytes:
        """See `Work`."""
        return b" ".join([os.fsencode(self.name), *item.arguments])

    def stop(self) -> None:
        """The engine ends its processes."""

    def wait_gone(self) -> None:
        """It has."""


class _Logged:
    def __init__(self, lines: LineFunction) -> None:
        self._lines = lines

    def __call__(self, item: MapItem) -> Outcome:
        began, start = time.time(), time.monotonic()
        out = self._lines.call(item.arguments)
        return Outcome(item.number, item.arguments, began, time.monotonic() - start, out=out)


class CommandWork:
    """A command for each item, run by threads of this process.

    Args:
        text, shell, braces: see `Template`.
        timeout: seconds that a command may take; None: any.
        inherits_output: see `ShellCommand`.
        reads: it reads the item's block; else it gets the item as an argument.

    Raises:
        CommandError: the command is malformed.
    """

    def __init__(
        self, text: str, shell: str, braces: str, timeout: float | None, inherits_output: bool, reads: bool
    ) -> None:
        try:
            self._template = Template(text, shell, braces, adds=not reads)
        except ValueError as error:
            raise CommandError(f"--shell: {error}") from None
        if reads and self._template.uses_item:
            raise CommandError(
                f"--shell: with --pipe the command reads its items, and {braces} and its like stand for nothing; "
                "{#} and {%} are its number and its slot"
            )
        self._command = ShellCommand(self._template, timeout, inherits_output, reads)
        self.function: Callable[[Any], Any] = self._command
        self.name = text.split()[0]

    def place(self, workers: int, timeout: float | None) -> dict[str, Any]:
        """See `Work`.

        Raises:
            CommandError: so many commands take more descriptors than this process may have.
        """
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        most = (limit - _OTHER_DESCRIPTORS) // _DESCRIPTORS
        if workers > most:
            raise CommandError(
                f"--jobs is {workers}: with {limit:,} descriptors for a process (ulimit -n), {max(most, 0):,} commands "
                "can run at a time"
            )
        return {"threads": workers}

    def shown(self, item: MapItem) -> bytes:
        """See `Work`."""
        command = self._template.shown(item.arguments, item.number, 1)
        return command + b"  # " + item.mark if item.mark else command

    def stop(self) -> None:
        """See `Work`."""
        self._command.cancel()

    def wait_gone(self) -> None:
        """See `Work`."""
        self._command.wait(_GOING_SECONDS)


class DryRun:
    """Says what would be done, a line for each item.

    Args:
        work: what would.
    """

    def __init__(self, work: Work) -> None:
        self._work = work
        self.name = work.name

    def function(self, item: MapItem) -> Outcome:
        """See `Work`."""
        return Outcome(item.number, item.arguments, 0.0, 0.0, out=self._work.shown(item) + b"\n")

    def place(self, workers: int, timeout: float | None) -> dict[str, Any]:
        """See `Work`."""
        return {"threads": 1}

    def shown(self, item: MapItem) -> bytes:
        """See `Work`."""
        return self._work.shown(item)

    def stop(self) -> None:
        """It takes no time."""

    def wait_gone(self) -> None:
        """It takes no time."""
