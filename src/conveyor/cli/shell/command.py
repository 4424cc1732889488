"""ShellCommand: runs a command for each item, in whatever thread asks."""

from __future__ import annotations

import contextlib
import heapq
import os
import signal
import tempfile
import threading
import time

from ..._native import Commands
from ..map_item import MapItem
from .block import block_to_read
from .outcome import CommandFailed, Outcome
from .template import Program, Template

__all__ = ["ShellCommand"]

# Of each stream of a command; what is more goes into a file.
_IN_MEMORY = 1024 * 1024
_GRACE_SECONDS = 0.5
_READS = b'exec "$@" <"$0"'
_TIMED_OUT, _CANCELLED = 1, 2
_SIGTERM = 15


class ShellCommand:
    """Calls of it run the command for an item, and wait for its end. Any number of threads may call at once.

    Args:
        template: the command.
        timeout: seconds that one may take; None: any.
        inherits_output: commands write to this process's own standard output and error.
        reads: a command reads the item's block; else nothing.
    """

    def __init__(
        self,
        template: Template,
        timeout: float | None = None,
        inherits_output: bool = False,
        reads: bool = False,
    ) -> None:
        self._template = template
        self._reads = reads
        self._timeout = timeout
        if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:  # inherited: no exit code could be had
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._cancel = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        environment = [name + b"=" + value for name, value in os.environb.items()]
        folder = os.fsencode(tempfile.gettempdir())
        self._commands = Commands(
            environment, self._cancel, inherits_output, _GRACE_SECONDS, _IN_MEMORY, folder
        )
        self._lock = threading.Condition()
        self._free: list[int] = []  # slots below `_slots` that nobody has
        self._slots = 0
        self._cancelled = False

    def __call__(self, item: MapItem) -> Outcome:
        """Run the command for an item.

        Raises:
            CommandFailed: its exit code is not 0, or it was ended, or could not be started.
        """
        with self._lock:
            if self._free:
                slot = heapq.heappop(self._free)
            else:
                self._slots += 1
                slot = self._slots
        try:
            outcome = self._run(item, slot)
            outcome.mark = item.mark
        finally:
            with self._lock:
                heapq.heappush(self._free, slot)
                self._lock.notify_all()
        if outcome.failed:
            raise CommandFailed(outcome)
        return outcome

    def _run(self, item: MapItem, slot: int) -> Outcome:
        began = time.time()
        program = self._template.program(item.arguments, item.number, slot)
        if not self._reads:
            return self._run_program(item, began, program)
        try:
            with block_to_read(item.block) as path:
                # The command has a file of its own to read, at its beginning, and nobody has to feed it.
                words = [b"sh", b"-c", _READS, path, program.path, *program.words[1:]]
                return self._run_program(item, began, Program(b"/bin/sh", words))
        except OSError as error:
            problem = f"there is no room for what it is to read: {error.strerror or error}"
            return Outcome(item.number, item.arguments, began, 0.0, -1, problem=problem)

    def _run_program(self, item: MapItem, began: float, program: Program) -> Outcome:
        try:
            error, status, ended, kept, seconds, out, out_file, err, err_file = self._commands.run(
                program.path, program.words, self._timeout or 0.0
            )
        except ValueError:
            return Outcome(
                item.number,
                item.arguments,
                began,
                0.0,
                -1,
                problem="the item has a zero byte, which no argument may have",
            )
        outcome = Outcome(item.number, item.arguments, began, seconds, 0, 0, out, err, out_file, err_file)
        if error:
            outcome.exit_code = -1
            outcome.problem = f"the command cannot be started: {os.strerror(error)}"
            return outcome
        if os.WIFSIGNALED(status):
            outcome.signal = os.WTERMSIG(status)
        else:
            outcome.exit_code = os.waitstatus_to_exitcode(status)
        if ended or kept:
            outcome.exit_code, outcome.signal = -1, outcome.signal or _SIGTERM
            if ended == _TIMED_OUT:
                outcome.problem = f"timed out after {self._timeout:g} s"
            elif ended == _CANCELLED:
                outcome.problem = "ended with the run"
            else:
                outcome.problem = f"its output cannot be kept: {os.strerror(kept)}"
        return outcome

    def cancel(self) -> None:
        """End all that run, and all that would begin. Safe in a signal handler."""
        self._cancelled = True
        with contextlib.suppress(BlockingIOError):
            os.eventfd_write(self._cancel, 1)

    def wait(self, seconds: float) -> None:
        """Wait until none runs, but no longer than that."""
        deadline = time.monotonic() + seconds
        with self._lock:
            self._lock.wait_for(lambda: len(self._free) == self._slots, max(deadline - time.monotonic(), 0))
