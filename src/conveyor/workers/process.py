"""The main function of a worker process."""

from __future__ import annotations

import io
import os
import signal
import sys
from typing import TYPE_CHECKING

from .._native import signal_at_parents_death
from .serve import Job, serve

if TYPE_CHECKING:
    from ..queue import Queue
    from .slate import Slate

__all__ = ["work"]


def work(job: Job, tasks: Queue[object], results: Queue[object], slate: Slate) -> None:
    """Apply the job's functions to what comes, until told to stop."""
    _detach(job)
    slate.catch_crashes()
    serve(job, tasks, results.put, slate.meter(), slate.note_link)


def _detach(job: Job) -> None:
    """Cut this process off from what is the parent's: the terminal, its signals, its input and output.

    A group of its own keeps Ctrl-C and `timeout` away, which signal whole groups: the parent decides
    what they mean. It also lets the parent stop a worker together with the programs that it started.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.setpgid(0, 0)
    _die_with_parent(job.started_by_main_thread)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT, signal.SIGTERM])

    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    if job.stdout_to_stderr:
        os.dup2(2, 1)
        for stream in (sys.stdout, sys.__stdout__):
            if isinstance(stream, io.TextIOWrapper):  # else somebody has put his own in its place
                stream.reconfigure(line_buffering=True)


def _die_with_parent(started_by_main_thread: bool) -> None:
    """Have the kernel kill this process when the parent dies, however it dies."""
    import multiprocessing

    # The quick way goes by the thread that forked us. That one may end before its process, and the fork
    # server lives as long as we do: there, the pipe that ends with the parent raises the signal.
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    if started_by_main_thread and os.getppid() == parent.pid:
        signal_at_parents_death(signal.SIGKILL)
    else:
        import fcntl

        fd = parent.sentinel
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(fd, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_ASYNC)
    if not parent.is_alive():
        os._exit(1)  # it died before we asked to be told
