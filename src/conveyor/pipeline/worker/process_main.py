"""The main functions of worker processes, be they copies of the program or new interpreters."""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..._native import signal_at_parents_death
from .failing import describe_failure
from .messages import STRANDED
from .native_threads import bound_threads
from .own_memory import OwnMemory
from .serve import Job
from .stranded import Stranded

if TYPE_CHECKING:
    from ..._memory.passing import Descriptor
    from ...queues.queue import Queue
    from .main_module import MainModule
    from .sealed import Sealed
    from .status_page import StatusPage

__all__ = ["Surroundings", "detach", "die_with_parent", "work", "work_anew", "work_as_child"]


@dataclass(frozen=True)
class Surroundings:
    """What a worker process must know of the program that starts it."""

    stdout_to_stderr: bool = False
    """Whether what functions print goes to standard error."""
    by_main_thread: bool = True
    """Whether it is started by a thread that lives as long as its process."""
    blas_threads: int | None = None
    """See `Job`: for libraries that are loaded together with the job."""


def work(
    get_job: Callable[[], Job],
    surroundings: Surroundings,
    tasks: Queue[object],
    results: Queue[object],
    status_page: StatusPage,
    is_copy: bool = True,
) -> None:
    """Apply the job's functions to what comes, until told to stop; for a process that has been cut off by `detach`.

    Args:
        get_job: returns the job, or raises `Stranded`.
        surroundings: what to know of the program.
        tasks, results: where items come from, and results go to.
        status_page: where to write figures.
        is_copy: whether the process is a copy of the program.
    """
    _redirect(surroundings)
    status_page.catch_crashes()
    try:
        job = get_job()
    except Stranded as error:
        *_, traceback = describe_failure(error.__cause__ or error)
        results.put((STRANDED, str(error), traceback if error.__cause__ is not None else ""))
        return

    def close_in_child() -> None:
        results.close()  # or a child that returns from the function would put a result of its own
        tasks.close()

    os.register_at_fork(after_in_child=close_in_child)
    if job.asks_memory:
        status_page.memory = OwnMemory(is_copy).now
    job.serve(tasks, results.put, status_page)


def work_as_child(
    job: Job,
    surroundings: Surroundings,
    tasks: Queue[object],
    results: Queue[object],
    status_page: StatusPage,
) -> None:
    """Work in a process that was forked of the program; see `work`."""
    status_page.arrive()
    detach()
    die_with_parent(surroundings.by_main_thread)
    work(lambda: job, surroundings, tasks, results, status_page)


def work_anew(
    job: Sealed[Job],
    main: MainModule,
    surroundings: Surroundings,
    stderr: Descriptor | None,
    tasks: Queue[object],
    results: Queue[object],
    status_page: StatusPage,
) -> None:
    """Work in a process that shares no memory with the program: it was started by spawn or by a fork server.

    Args:
        job: what to do; its functions are imported here.
        main: the program's main module, of which functions and items may be.
        stderr: standard error, if what was written there until now has been kept back; else None.
        surroundings, tasks, results, status_page: as for `work`.
    """
    status_page.arrive()
    if stderr is not None:
        _speak(stderr.detach())
    detach()
    die_with_parent(surroundings.by_main_thread)

    def get_job() -> Job:
        if surroundings.blas_threads is not None:
            bound_threads(surroundings.blas_threads)
        main.load()
        return main.open(job)

    work(get_job, surroundings, tasks, results, status_page, is_copy=False)


def detach() -> None:
    """Cut this process off from the signals of the program's terminal.

    A group of its own keeps Ctrl-C and `timeout` away, which signal whole groups: the program decides
    what they mean. It also lets the program stop a worker together with the programs that it started.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.set_wakeup_fd(-1)  # the program's own, an event loop's
    os.setpgid(0, 0)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT, signal.SIGTERM])


def _redirect(surroundings: Surroundings) -> None:
    """Cut this process off from the program's input and, if it is data, from its output."""
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    if surroundings.stdout_to_stderr:
        os.dup2(2, 1)
        for stream in (sys.stdout, sys.__stdout__):
            if isinstance(stream, io.TextIOWrapper):  # else somebody has put his own in its place
                stream.reconfigure(line_buffering=True)


def _speak(stderr: int) -> None:
    """From now on, and with what was kept back, write to standard error."""
    sys.stderr.flush()
    kept = os.pread(2, os.fstat(2).st_size, 0)
    if kept:
        os.write(stderr, kept)
    os.dup2(stderr, 2)
    os.close(stderr)


def die_with_parent(started_by_main_thread: bool) -> None:
    """Have the kernel kill this process when the program dies, however it dies."""
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
