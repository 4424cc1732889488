"""WorkerProcess: one worker process, and how to learn of its end."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from time import monotonic
from typing import Any

from ..worker.template import STATUS

__all__ = ["ChildProcess", "ReportedProcess", "WorkerProcess"]

_LOOK_SECONDS = 0.1
# So long a process may take to end that has nothing left to do; a thread of the program's may keep it.
_LEAVE_SECONDS = 5.0
# What `multiprocessing` says of a process of which nobody knows how it ended.
_UNKNOWN = 255


class WorkerProcess:
    """A process that works.

    Args:
        process: `multiprocessing`'s object for it; it has been started, and is closed with this.
        sentinel: a descriptor that is readable when it has ended.
    """

    def __init__(self, process: Any, sentinel: int) -> None:
        self.process = process
        """`multiprocessing`'s object for it."""
        self._popen = process._popen
        self.pid: int = process.pid
        self.sentinel = sentinel
        self.exitcode: int | None = None
        """As of `multiprocessing.Process`; None: it lives, or how it ended cannot be known any more."""
        self._ended = False

    def ended(self) -> bool:
        """Whether it has ended."""
        self._ended = self._ended or self._look()
        return self._ended

    def _look(self) -> bool:
        raise NotImplementedError

    def kill(self) -> None:
        """End it at once, together with the programs that it started."""
        if self.ended():
            self.kill_programs()
            return
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):  # not in a group of its own yet, or gone
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def kill_programs(self) -> None:
        """End the programs that it started and that are still in its group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def last_words(self) -> str:
        """What it wrote to standard error before it ran any code of ours, if that was kept back."""
        return ""

    def close(self) -> None:
        """Wait for the end of a process that is ending, and let go of what belongs to it."""
        poll = select.poll()
        poll.register(self.sentinel, select.POLLIN)
        until = monotonic() + _LEAVE_SECONDS
        while not self.ended():
            poll.poll(1000 * _LOOK_SECONDS)
            if monotonic() > until:
                self.kill()
        if self.exitcode:  # it did not leave as it should
            self.kill_programs()
        self._let_go()
        if self._popen.returncode is None:
            self._popen.returncode = _UNKNOWN if self.exitcode is None else self.exitcode
        self.process.close()

    def _let_go(self) -> None:
        raise NotImplementedError


class ChildProcess(WorkerProcess):
    """A child of this process.

    Its end is seen also if the program ignores SIGCHLD, or something in it waits for any child: then its exit code is
    lost, and nothing else.

    Args:
        process: see `WorkerProcess`.
        stderr: a file with what it wrote to standard error at first; -1: there is none. It is closed with this.
    """

    def __init__(self, process: Any, stderr: int = -1) -> None:
        self._stderr = stderr
        # Unlike multiprocessing's sentinel, no child of the worker's can keep it from telling.
        self._pidfd = _pidfd_of(process.pid)
        super().__init__(process, process.sentinel if self._pidfd < 0 else self._pidfd)

    def _look(self) -> bool:
        try:
            # It stays there, so that nobody else gets its number while its group can still be signalled.
            found = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            self.exitcode = self._popen.returncode  # None, unless it was multiprocessing that waited for it
            return True
        if found is None:
            return False
        self.exitcode = found.si_status if found.si_code == os.CLD_EXITED else -found.si_status
        return True

    def last_words(self) -> str:
        """What it wrote to standard error before it ran any code of ours."""
        return "" if self._stderr < 0 else os.pread(self._stderr, 65536, 0).decode("utf-8", "replace")

    def _let_go(self) -> None:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)
        for fd in (self._pidfd, self._stderr):
            if fd >= 0:
                os.close(fd)
        self._pidfd = self._stderr = -1


class ReportedProcess(WorkerProcess):
    """A child of another process, which writes its exit code into a pipe, the process's sentinel.

    The pipe's end without one means that nobody can tell any more how it ended. It may live on: a fork server, which is
    in the program's process group, is ended by a signal that the worker does not mind.
    """

    def __init__(self, process: Any) -> None:
        self._pidfd = _pidfd_of(process.pid)
        super().__init__(process, process.sentinel if self._pidfd < 0 else self._pidfd)
        self._end, self._status = select.poll(), select.poll()
        self._end.register(self.sentinel, select.POLLIN)
        self._status.register(process.sentinel, select.POLLIN)

    def _look(self) -> bool:
        if self._popen.returncode is not None:  # it was multiprocessing that read it
            self.exitcode = self._popen.returncode
            return True
        # Whoever waits for it is told at the same time as we, and writes then.
        if not self._end.poll(0) or not self._status.poll(1000 * _LOOK_SECONDS):
            return False
        data = os.read(self._popen.sentinel, STATUS.size)
        if len(data) == STATUS.size:
            (self.exitcode,) = STATUS.unpack(data)
            self._popen.returncode = self.exitcode
        else:
            self._popen.returncode = _UNKNOWN
            if self._pidfd < 0:  # whether it has ended, we would not learn
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(self.pid, signal.SIGKILL)
        return True

    def _let_go(self) -> None:
        # All else belongs to `multiprocessing`'s object.
        if self._pidfd >= 0:
            os.close(self._pidfd)
        self._pidfd = -1


def _pidfd_of(pid: int) -> int:
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):  # an old kernel, a sandbox; or it has ended, and is nobody's any more
        return -1
