"""Starter: starts the worker processes of one run; and what all kinds of it need."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from multiprocessing.context import BaseContext
from typing import Any, Protocol, cast

from ...queues.queue import Queue
from ..worker.process_main import Surroundings
from ..worker.serve import Job
from ..worker.status_page import StatusPage
from .worker_process import WorkerProcess

__all__ = [
    "Starter",
    "closed_on_failure",
    "signals_blocked",
    "start_process",
    "surroundings_now",
]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Starter(Protocol):
    """Starts the worker processes of one run."""

    def start(
        self, job: Job, tasks: Queue[Any], results: Queue[Any], status_page: StatusPage
    ) -> WorkerProcess:
        """Start one.

        Args:
            job: what it does; one of those that the starter was made for.
            tasks, results: where its items come from, and its results go to.
            status_page: where it writes its figures.

        Raises:
            PipelineError: what it is to do cannot be sent to it.
            OSError: the system gives no memory, or no more processes.
        """
        ...

    def close(self) -> None:
        """None will be started any more; those that were are closed before."""
        ...


def surroundings_now(stdout_to_stderr: bool, blas_threads: int | None = None) -> Surroundings:
    """Of a process that is started here and now."""
    by_main_thread = threading.current_thread() is threading.main_thread()
    return Surroundings(stdout_to_stderr, by_main_thread, blas_threads)


@contextmanager
def signals_blocked() -> Generator[None]:
    """In the block, a Ctrl-C waits; a child that is started there unblocks it when it has handlers of its own."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def start_process(
    context: BaseContext, target: Any, args: tuple[Any, ...], make_popen: Callable[[Any], Any]
) -> Any:
    """Have `multiprocessing` start a process, in a way of ours.

    Args:
        context: whose processes it is one of.
        target, args: what it is to do.
        make_popen: called with the process object, starts it; returns what `multiprocessing` calls a Popen.
    """
    process = cast("Any", context).Process(target=target, args=args)  # typeshed has it in subclasses only

    def popen(process: Any) -> Any:
        del process._Popen  # or it would travel with the object
        return make_popen(process)

    process._Popen = popen
    # A daemonic process may have no children, for they would outlive it. Workers do not.
    process.daemon = False
    if multiprocessing.current_process().daemon:
        process._popen = popen(process)
        process._sentinel = process._popen.sentinel
    else:
        process.start()
    return process


@contextmanager
def closed_on_failure(*descriptors: int) -> Generator[None]:
    """If the block fails, these are closed."""
    try:
        yield
    except BaseException:
        for fd in descriptors:
            os.close(fd)
        raise
