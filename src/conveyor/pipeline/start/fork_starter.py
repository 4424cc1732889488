"""ForkStarter: worker processes that are copies of the program."""

from __future__ import annotations

import contextlib
import os
import socket
from multiprocessing import popen_fork, popen_forkserver
from multiprocessing.context import BaseContext, set_spawning_popen
from multiprocessing.reduction import ForkingPickler
from multiprocessing.util import Finalize
from typing import Any, cast

from ...queues.queue import Queue
from ..host.deferred_signals import deferred_signals
from ..host.forking import forking, may_fork
from ..host.importing import imports_at_rest
from ..worker.process_main import work_as_child
from ..worker.sealed import Sealed
from ..worker.serve import Job
from ..worker.status_page import StatusPage
from ..worker.template import MOST_BYTES, REAP, START, STATUS, Inherited, serve_template, work_as_copy
from .starter import closed_on_failure, signals_blocked, start_process, surroundings_now
from .worker_process import ChildProcess, ReportedProcess, WorkerProcess

__all__ = ["ForkStarter"]


class _TemplateGone(Exception):
    """The template has died."""


class _Parcel:
    """Collects the descriptors that go with what is pickled meanwhile; stands for a process that is being started."""

    DupFd = Inherited

    def __init__(self) -> None:
        self.descriptors: list[int] = []

    def duplicate_for_child(self, fd: int) -> int:
        """The descriptor's place among those that go along."""
        self.descriptors.append(fd)
        return len(self.descriptors) - 1


class ForkStarter:
    """Forks workers: of the program, as long as none of its code runs in a thread of ours; then of a template.

    Args:
        context: `multiprocessing`'s for fork.
        jobs: what the workers may have to do.
        stdout_to_stderr: what the functions print goes to standard error.
    """

    def __init__(self, context: BaseContext, jobs: list[Job], stdout_to_stderr: bool) -> None:
        self._context = context
        self._jobs = jobs
        self._stdout_to_stderr = stdout_to_stderr
        self._template: Any = None
        self._no_template: OSError | None = None
        self._closed = False
        self._forks = may_fork(self)
        if not self._forks:
            self.stop_forking()

    def stop_forking(self) -> None:
        """A thread of ours is about to run code of the program's: make a template."""
        self._forks = False
        if not self._closed:
            try:
                self._make_template()
            except OSError as error:
                self._no_template = error  # for whoever wants a worker more

    def _make_template(self) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        surroundings = surroundings_now(self._stdout_to_stderr)
        try:
            # A Ctrl-C before the child has its own handlers would run ours in it.
            with deferred_signals(), signals_blocked(), imports_at_rest():
                self._template = start_process(
                    self._context,
                    serve_template,
                    (theirs, self._control, surroundings, self._jobs),
                    popen_fork.Popen,
                )
        except BaseException:
            self._control.close()
            raise
        finally:
            theirs.close()

    def start(
        self, job: Job, tasks: Queue[Any], results: Queue[Any], status_page: StatusPage
    ) -> WorkerProcess:
        """Fork a worker; see `Starter`."""
        with forking():
            if self._forks:
                surroundings = surroundings_now(self._stdout_to_stderr)
                work = (job, surroundings, tasks, results, status_page)
                with signals_blocked(), imports_at_rest():
                    process = start_process(self._context, work_as_child, work, popen_fork.Popen)
                return ChildProcess(process)
        if self._no_template is not None:
            raise self._no_template
        place = next(index for index, one in enumerate(self._jobs) if one is job)
        sealed = Sealed((tasks, results, status_page))
        return ReportedProcess(
            start_process(self._context, work_as_copy, (place, sealed), self._ask_template)
        )

    def _ask_template(self, process: Any) -> _Copied:
        parcel = _Parcel()
        set_spawning_popen(cast("Any", parcel))
        try:
            request = START + ForkingPickler.dumps(process)
        finally:
            set_spawning_popen(None)
        assert len(request) <= MOST_BYTES
        try:
            return _Copied(self._control, request, parcel.descriptors)
        except _TemplateGone:
            # Somebody killed it. A copy of the program as it is now may miss a lock; but none, no worker.
            self._end_template()
            self._make_template()
        try:
            return _Copied(self._control, request, parcel.descriptors)
        except _TemplateGone as error:
            raise OSError(
                "the process that workers are copied from was killed, and the one in its place, too"
            ) from error

    def close(self) -> None:
        """End the template."""
        with forking():  # or somebody might make a template just then
            self._closed = True
            self._end_template()

    def _end_template(self) -> None:
        template, self._template = self._template, None
        if template is None:
            return
        self._control.close()
        template.kill()  # nothing in it needs to end in an orderly way, and that takes longer
        with contextlib.suppress(ChildProcessError):  # the program ignores SIGCHLD, or waits for any child
            os.waitpid(template.pid, 0)
        template._popen.returncode = 0
        template.close()


class _Copied(popen_forkserver.Popen):
    """A worker that a template was asked for; its end is told as that of a fork server's child."""

    def __init__(self, control: socket.socket, request: bytes, descriptors: list[int]) -> None:
        self._control = control
        self._descriptors = descriptors
        super().__init__(cast("Any", request))

    def _launch(self, process_obj: Any) -> None:
        self.sentinel, theirs = os.pipe()
        with closed_on_failure(self.sentinel):
            try:
                socket.send_fds(self._control, [process_obj], [theirs, *self._descriptors])
            except (BrokenPipeError, ConnectionResetError) as error:
                raise _TemplateGone from error
            finally:
                os.close(theirs)
            data = os.read(self.sentinel, STATUS.size)
            if not data:
                raise _TemplateGone
            (self.pid,) = STATUS.unpack(data)
            if self.pid < 0:
                raise OSError(-self.pid, os.strerror(-self.pid))
        self.finalizer = Finalize(self, self._let_go, (self._control, self.sentinel, self.pid))

    @staticmethod
    def _let_go(control: socket.socket, sentinel: int, pid: int) -> None:
        os.close(sentinel)
        with contextlib.suppress(OSError):  # the template is dead, and its workers are nobody's
            control.send(REAP + STATUS.pack(pid))
