"""The template: a copy of the program, made when a run began, of which its worker processes are copies.

It was made before anything of the program's ran in a thread of the run's, and nothing but requests are served in
it. So no lock is held there by a thread that is not there, and a worker that is forked of it finds all locks free,
in the middle of the run too.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import select
import signal
import socket
import struct
from collections.abc import Callable
from multiprocessing import popen_fork
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

from ..._native import signal_at_parents_death
from .process_main import Surroundings, detach, die_with_parent, work
from .serve import Job

if TYPE_CHECKING:
    from ...queues.queue import Queue
    from .sealed import Sealed
    from .status_page import StatusPage

__all__ = ["MOST_BYTES", "REAP", "START", "STATUS", "Inherited", "serve_template", "work_as_copy"]

START: Final = b"s"
"""To the template: start the process whose pickle follows. With it go the descriptor that its pid, or minus an error's
number, and its exit code are to be written to, and those that it inherits."""
REAP: Final = b"r"
"""To the template: the worker whose pid follows has ended, and is of no interest any more."""
STATUS: Final = struct.Struct("q")
"""How numbers are written."""
MOST_BYTES: Final = 65536
"""Of a request."""
_MOST_DESCRIPTORS = 200


class Inherited:
    """A descriptor that goes with a request, by its place among them."""

    __slots__ = ("_place",)

    def __init__(self, place: int) -> None:
        self._place = place

    def __reduce__(self) -> tuple[object, ...]:
        return Inherited, (self._place,)

    def detach(self) -> int:
        """Its number in the worker, which now owns it."""
        assert _this is not None
        return _this.inherited[self._place]


class _Template:
    """What serves the requests.

    Args:
        control: where they come from; its end is the end of the run.
        surroundings: what to know of the program.
        jobs: what workers may have to do.
    """

    def __init__(self, control: socket.socket, surroundings: Surroundings, jobs: list[Job]) -> None:
        self.surroundings = surroundings
        self.jobs = jobs
        self.inherited: list[int] = []
        """In a worker that is being started: the descriptors that came with the request."""
        self._starting = -1  # where the pid of the process that is being started is to be told
        self.pid = os.getpid()
        self._control = control
        self._workers: dict[int, tuple[popen_fork.Popen, int]] = {}
        """By pid: the process, and where its end is to be told; -1: it has been told."""
        self._bell, self._rings = os.pipe()
        for fd in (self._bell, self._rings):
            os.set_blocking(fd, False)
        self._on_child: Callable[[int, FrameType | None], Any] | int | None = None

    def serve(self) -> None:
        """Serve requests until there will be none, and leave no worker."""
        # Whatever the program does about its children, it must not be done to ours.
        self._on_child = signal.signal(signal.SIGCHLD, _nothing)
        signal.set_wakeup_fd(self._rings, warn_on_full_buffer=False)
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(self._bell, select.POLLIN)
        while True:
            found = {fd for fd, _ in poll.poll()}
            if self._bell in found:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._bell, 4096)
                self._tell_of_ends()
            if self._control.fileno() in found and not self._request():
                break
        for pid in list(self._workers):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            self._reap(pid)

    def _request(self) -> bool:
        try:
            data, descriptors, _, _ = socket.recv_fds(self._control, MOST_BYTES, _MOST_DESCRIPTORS)
        except ConnectionResetError:
            return False
        if not data:
            return False
        if data[:1] == START:
            self._start(data[1:], descriptors)
        else:
            self._reap(*STATUS.unpack(data[1:]))
        return True

    def _start(self, data: bytes, descriptors: list[int]) -> None:
        status, *self.inherited = descriptors
        self._starting = status
        process = pickle.loads(data)
        try:
            started = popen_fork.Popen(process)
        except OSError as error:
            _tell(status, -(error.errno or 1))
            os.close(status)
        else:
            self._workers[started.pid] = started, status
            _tell(status, started.pid)
        for fd in self.inherited:
            os.close(fd)
        self.inherited = []

    def _tell_of_ends(self) -> None:
        for pid, (process, status) in self._workers.items():
            if status < 0:
                continue
            # It stays there, so that nobody else gets its number while it can still be signalled.
            found = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if found is not None:
                code = found.si_status
                _tell(status, code if found.si_code == os.CLD_EXITED else -code)
                os.close(status)
                self._workers[pid] = process, -1

    def _reap(self, pid: int) -> None:
        process, status = self._workers.pop(pid)
        os.waitpid(pid, 0)
        process.close()
        if status >= 0:
            os.close(status)

    def become_worker(self) -> None:
        """In a process that was just forked: put back what is not the program's, but the template's."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL if self._on_child is None else self._on_child)
        self._control.close()
        others = [status for _, status in self._workers.values()]
        for fd in (self._bell, self._rings, self._starting, *others):
            if fd >= 0:
                os.close(fd)
        detach()
        signal_at_parents_death(signal.SIGKILL)
        if os.getppid() != self.pid:
            os._exit(1)  # it died before we asked to be told


_this: _Template | None = None


def serve_template(
    control: socket.socket, theirs: socket.socket, surroundings: Surroundings, jobs: list[Job]
) -> None:
    """The main function of a template.

    Args:
        control: where requests come from.
        theirs: the other end of it, which is the program's.
        surroundings: what to know of the program.
        jobs: what workers may have to do.
    """
    global _this
    theirs.close()
    detach()
    die_with_parent(surroundings.by_main_thread)
    _this = _Template(control, surroundings, jobs)
    _this.serve()


def work_as_copy(place: int, sealed: Sealed[tuple[Queue[object], Queue[object], StatusPage]]) -> None:
    """The main function of a worker that was forked of a template.

    Args:
        place: which of the template's jobs it does.
        sealed: its tasks, its results, and its status page.
    """
    assert _this is not None
    _this.become_worker()
    tasks, results, status_page = sealed.open()
    status_page.arrive()
    job = _this.jobs[place]
    work(lambda: job, _this.surroundings, tasks, results, status_page)


def _tell(status: int, number: int) -> None:
    with contextlib.suppress(BrokenPipeError):
        os.write(status, STATUS.pack(number))


def _nothing(_number: int, _frame: FrameType | None) -> None:
    pass
