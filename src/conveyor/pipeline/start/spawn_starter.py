"""SpawnStarter: worker processes that share no memory with the program, and import what they are to do."""

from __future__ import annotations

import contextlib
import io
import os
import stat
import subprocess
from collections.abc import Callable
from multiprocessing import (
    forkserver,
    popen_forkserver,
    popen_spawn_posix,
    reduction,
    resource_tracker,
    spawn,
)
from multiprocessing.context import BaseContext, set_spawning_popen
from multiprocessing.util import Finalize
from typing import Any, cast

from ...queues.queue import Queue
from ..worker.buffers import SharedBuffers
from ..worker.main_module import MainModule
from ..worker.process_main import Surroundings, work_anew
from ..worker.sealed import Sealed
from ..worker.serve import Job
from ..worker.status_page import StatusPage
from .hidden_module import hidden_module
from .starter import closed_on_failure, signals_blocked, start_process, surroundings_now
from .worker_process import ChildProcess, ReportedProcess, WorkerProcess

__all__ = ["SpawnStarter"]


class SpawnStarter:
    """Starts workers by spawn, or has a fork server start them.

    Args:
        context: `multiprocessing`'s for one of these.
        stdout_to_stderr: what the functions print goes to standard error.
    """

    def __init__(self, context: BaseContext, stdout_to_stderr: bool) -> None:
        self._context = context
        self._stdout_to_stderr = stdout_to_stderr
        self._buffers = SharedBuffers()

    def start(
        self, job: Job, tasks: Queue[Any], results: Queue[Any], status_page: StatusPage
    ) -> WorkerProcess:
        """Start a worker; see `Starter`."""
        sealed = Sealed(job, self._buffers)
        surroundings = surroundings_now(self._stdout_to_stderr, job.blas_threads)
        order = _Order(self._context, surroundings, sealed, tasks, results, status_page)
        if self._context.get_start_method() == "spawn":
            return self._spawn(order)
        with contextlib.suppress(EOFError, ConnectionError):
            return self._have_served(order)
        # The fork server was killed, by a signal to the whole group for one: now there is a new one.
        try:
            return self._have_served(order)
        except (EOFError, ConnectionError) as error:
            why = hidden_module() or (
                ": by a signal, or because it imports the program's main module, which must not start anything but "
                'under if __name__ == "__main__":'
            )
            raise OSError(f"the fork server ended, and the one in its place, too{why}") from error

    @staticmethod
    def _spawn(order: _Order) -> ChildProcess:
        # Until it runs our code it may fail for reasons that are nobody's item's; they go into the error instead.
        kept = os.memfd_create("conveyor-stderr", os.MFD_CLOEXEC)
        with closed_on_failure(kept), signals_blocked():
            return ChildProcess(order.start(lambda process: _Spawned(order, process, kept)), kept)

    @staticmethod
    def _have_served(order: _Order) -> ReportedProcess:
        # A fork server would keep for all its children, the program's own too, what is blocked when it is started.
        return ReportedProcess(order.start(lambda process: _Served(order, process)))

    def close(self) -> None:
        """Let go of what the jobs of workers share."""
        self._buffers.close()


class _Order:
    """What a worker is to do."""

    def __init__(
        self,
        context: BaseContext,
        surroundings: Surroundings,
        job: Sealed[Job],
        tasks: Queue[Any],
        results: Queue[Any],
        status_page: StatusPage,
    ) -> None:
        self._context = context
        self._surroundings = surroundings
        self._job = job
        self._channels = (tasks, results, status_page)

    def start(self, make_popen: Callable[[Any], Any]) -> Any:
        """Start a process that does it; see `start_process`."""
        return start_process(self._context, work_anew, (), make_popen)

    def pickled(self, process: Any, popen: Any, stderr: int = -1) -> memoryview:
        """For `multiprocessing`'s main function of a new process: how to prepare, and what to do.

        Args:
            process: the process object; its arguments are given to it here.
            popen: collects the descriptors that go along.
            stderr: where the worker is to write errors when it is there; -1: where it does already.
        """
        data: dict[str, Any] = spawn.get_preparation_data(process.name)
        main = MainModule(data, self._context.get_start_method())
        made = io.BytesIO()
        set_spawning_popen(popen)
        try:
            errors = reduction.DupFd(stderr) if stderr >= 0 else None
            process._args = (self._job, main, self._surroundings, errors, *self._channels)
            reduction.dump(data, made)
            reduction.dump(process, made)
        finally:
            set_spawning_popen(None)
        return made.getbuffer()


class _Spawned(popen_spawn_posix.Popen):
    """A new interpreter, whose first words on standard error go to a file."""

    def __init__(self, order: _Order, process: Any, kept: int) -> None:
        self._order = order
        self._kept = kept
        super().__init__(process)

    def _launch(self, process_obj: Any) -> None:
        checkpoint = cast("Any", resource_tracker).getfd()
        self._fds: list[int] = [checkpoint]
        try:
            errors = os.dup(2)
        except OSError:
            errors = -1  # it is closed
        try:
            message = self._order.pickled(process_obj, self, errors)
            self._start(message, checkpoint, None if errors < 0 else self._kept)
        finally:
            if errors >= 0:
                os.close(errors)

    def _start(self, message: memoryview, checkpoint: int, stderr: int | None) -> None:
        parent_r, child_w = os.pipe()
        child_r, parent_w = os.pipe()
        try:
            with closed_on_failure(parent_r, parent_w):
                started = subprocess.Popen(
                    spawn.get_command_line(tracker_fd=checkpoint, pipe_handle=child_r),
                    executable=spawn.get_executable(),
                    pass_fds=[*self._fds, child_r, child_w],
                    stderr=stderr,
                    restore_signals=False,
                )
        finally:
            os.close(child_r)
            os.close(child_w)
        started.returncode = 0  # it is ours to wait for
        self.pid = started.pid
        self.sentinel = parent_r
        # Held open, too: its end tells the child of ours.
        self.finalizer = Finalize(self, _close, (parent_r, parent_w))
        with contextlib.suppress(BrokenPipeError), os.fdopen(parent_w, "wb", closefd=False) as pipe:
            pipe.write(message)


class _Served(popen_forkserver.Popen):
    """A child of `multiprocessing`'s fork server."""

    def __init__(self, order: _Order, process: Any) -> None:
        self._order = order
        super().__init__(process)

    def _launch(self, process_obj: Any) -> None:
        self._fds: list[int]
        message = self._order.pickled(process_obj, self)
        try:
            self.sentinel, pipe_w = forkserver.connect_to_new_process(self._fds)
        except ChildProcessError:
            _forget_server()
            self.sentinel, pipe_w = forkserver.connect_to_new_process(self._fds)
        # Held open, too: its end tells the child of ours.
        parent_w = os.dup(pipe_w)
        self.finalizer = Finalize(self, _close, (parent_w, self.sentinel))
        with contextlib.suppress(BrokenPipeError), os.fdopen(pipe_w, "wb") as pipe:
            pipe.write(message)
        self.pid = forkserver.read_signed(self.sentinel)


def _forget_server() -> None:
    """Let `multiprocessing` start a fork server, though it believes in one that is no child of this process.

    That one belongs to the process that forked this one; or it has died, and somebody else has waited for it.
    """
    server: Any = forkserver._forkserver  # pyright: ignore[reportPrivateUsage]
    with server._lock:
        alive_fd = server._forkserver_alive_fd
        if alive_fd is not None and stat.S_ISFIFO(os.fstat(alive_fd).st_mode):
            os.close(alive_fd)
        server._forkserver_address = server._forkserver_alive_fd = server._forkserver_pid = None


def _close(*descriptors: int) -> None:
    for fd in descriptors:
        os.close(fd)
