"""PersistentProcesses: the worker processes of one `Workers`, which runs take and give back."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import select
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from time import monotonic
from typing import Any, Literal, TypeAlias, cast
from weakref import WeakSet

from ...errors import PipelineError
from ..base.failure import Failure
from ..host.deferred_signals import deferred_signals
from ..host.forking import forking
from ..start.make_starter import make_starter
from ..start.starter import Starter
from ..supervise.channels import Channels, closed_on_failure
from ..supervise.limits import LEAVE_SECONDS
from ..worker.persistent import PersistentJob
from ..worker.serve import Job
from .copying_starter import CopyingStarter
from .main_names import have_same, main_names
from .orders import Order, Orders
from .process import PersistentProcess

__all__ = ["PersistentProcesses"]

_LOOK_SECONDS = 0.1
# A run that is told to end does so sooner, whatever its workers are at; one over which nobody iterates hears nothing.
_SUSPENDED_SECONDS = 2.0

StartMethod: TypeAlias = Literal["fork", "spawn", "forkserver"]

_all: WeakSet[PersistentProcesses] = WeakSet()


class PersistentProcesses:
    """Processes that wait for the next run, and those that a run has.

    A run takes each for itself, and has as many as it asks for: one that waited for a process of another run, or of
    another of its own stages, might wait for ever. Of those that wait, more than `count` in all are not kept beside
    new ones.

    Args:
        count: processes that are kept though no run needs all of them.
        start_method: how they are started; None: Python's default.
        initializer: called in each before its first item; None: nothing is.
        name: what their queues are called.
        show: called with the processes that are there, and how many have died, when that has changed.
    """

    def __init__(
        self,
        count: int,
        start_method: StartMethod | None,
        initializer: Callable[[], object] | None,
        name: str,
        show: Callable[[list[int], int], None],
    ) -> None:
        self.context = multiprocessing.get_context(start_method)
        self.method: StartMethod = cast("StartMethod", self.context.get_start_method())
        """How they are started."""
        self._count = count
        self._name = name
        self._job = PersistentJob((), initializer=initializer)
        self.closed = False
        self._show = show
        self._begin()
        _all.add(self)

    def _begin(self) -> None:
        self._lock = threading.RLock()
        self._orders = Orders()
        self._idle: list[PersistentProcess] = []
        """The one that a run gave back last is the last."""
        self._busy: list[PersistentProcess] = []
        self._leaving: list[PersistentProcess] = []
        self._starter: Starter | None = None
        self._runs: dict[int, Callable[[BaseException], None]] = {}
        self._torn: list[tuple[Any, ...]] = []
        self._abandoned: list[object] = []
        self._lost = 0

    def forget(self) -> None:
        """In a process that was forked of the program: those are not its own. It may start some itself."""
        kept = (self._idle, self._busy, self._leaving, self._starter, self._runs, self._abandoned)
        self._begin()
        self._abandoned.append(kept)  # what lets go of them would tell the program's processes

    def pids(self) -> list[int]:
        """The processes that are there."""
        with self._lock:
            self._look_after()
            return [each.process.pid for each in (*self._idle, *self._busy)]

    # -- for runs ----------------------------------------------------------------------------------------

    def order_of(self, job: Job) -> Order | None:
        """How a job is sent; see `Orders.of`."""
        return self._orders.of(job)

    @contextmanager
    def used_by(self, fail: Callable[[BaseException], None]) -> Generator[None]:
        """In the block, a run uses them.

        Args:
            fail: called, in any thread, with what ends the run: they are closed.
        """
        with self._lock:
            self._check_open()
            self._runs[id(fail)] = fail
        try:
            yield
        finally:
            with self._lock:
                self._runs.pop(id(fail), None)

    def take(self, order: Order, identity: tuple[int, int, int]) -> PersistentProcess:
        """A process for this job alone, until it is given back or discarded.

        Args:
            order: the job.
            identity: who it is in it; see `IdentityWords`.

        Raises:
            OSError: the system gives no memory, or no more processes.
        """
        with self._lock:
            self._check_open()
            self._look_after()
            able = [each for each in reversed(self._idle) if each.can_do(order)]
            found = next((each for each in able if each.has(order)), able[0] if able else None)
            if found is not None:
                self._idle.remove(found)
            else:
                while self._idle and len(self._idle) + len(self._busy) >= self._count:
                    self._dismiss(self._idle.pop(0))
                found = self._start(order)
            self._busy.append(found)
            if not able:
                self._show_all()
        try:
            found.order(order, identity)
        except BaseException:  # no memory for it
            found.process.kill()
            self.discard(found)
            raise
        return found

    def give_back(self, process: PersistentProcess) -> None:
        """It has done what was ordered."""
        with self._lock:
            if process not in self._busy:
                return  # they were the program's that this one was forked of
            self._busy.remove(process)
            if self.closed:
                self._dismiss(process)
            else:
                self._idle.append(process)

    def discard(self, process: PersistentProcess) -> None:
        """It has ended, or does so at once."""
        with self._lock:
            if process not in self._busy:
                return
            self._busy.remove(process)
            self._let_go_of_lost(process)

    def _check_open(self) -> None:
        if self.closed:
            raise PipelineError("the Workers are closed; make new ones")

    # -- one by one --------------------------------------------------------------------------------------

    def _start(self, order: Order) -> PersistentProcess:
        channels = Channels.make(self._name)
        with deferred_signals(), forking(), closed_on_failure(channels.status_page):
            starter = self._starter_for(order)
            copies = starter if isinstance(starter, CopyingStarter) else None
            names = None if copies is None else copies.names or main_names()
            try:
                process = starter.start(self._job, *channels)
            except OSError:
                self._starter = None  # another may fare better
                raise
            except (pickle.PicklingError, AttributeError, TypeError) as error:
                raise PipelineError(
                    f"setup= of Workers cannot be sent to a process that is started by {self.method}: {error}; "
                    "define it by def at the top of a module"
                ) from error
            if copies is not None and copies.names is not None:
                names = copies.names
            return PersistentProcess(channels, process, starter, names)

    def _starter_for(self, order: Order) -> Starter:
        starter = self._starter
        if isinstance(starter, CopyingStarter) and not have_same(starter.names or order.needed, order.needed):
            self._starter = None  # it copies the program as it was
            self._close_unused(starter)
        if self._starter is None:
            jobs: list[Job] = [self._job]
            if self.method == "fork":
                self._starter = CopyingStarter(self.context, jobs, stdout_to_stderr=False)
            else:
                self._starter = make_starter(self.context, jobs, stdout_to_stderr=False)
        return self._starter

    def _close_unused(self, starter: Starter) -> None:
        every = (*self._idle, *self._busy, *self._leaving)
        if starter is not self._starter and not any(each.starter is starter for each in every):
            starter.close()

    def _dismiss(self, process: PersistentProcess) -> None:
        process.dismiss(monotonic())
        self._leaving.append(process)

    def _look_after(self) -> None:
        """Let go of those that have ended, and end those that do not leave."""
        now = monotonic()
        for each in list(self._idle):
            if each.process.ended():
                self._idle.remove(each)
                self._let_go_of_lost(each)
        for each in list(self._leaving):
            if each.process.ended():
                self._leaving.remove(each)
                self._let_go(each)
            elif each.stays_since(now) > LEAVE_SECONDS:
                each.process.kill()

    def _let_go_of_lost(self, process: PersistentProcess) -> None:
        self._lost += 1
        self._let_go(process)
        self._show_all()

    def _show_all(self) -> None:
        if not self.closed:
            self._show([each.process.pid for each in (*self._idle, *self._busy)], self._lost)

    def _let_go(self, process: PersistentProcess) -> None:
        process.let_go()
        self._torn += process.torn
        self._close_unused(process.starter)

    # -- the end -----------------------------------------------------------------------------------------

    def close(self, timeout: float | None = None) -> None:
        """End the runs that use them, have them tear down, and wait for their end.

        Args:
            timeout: seconds after which they are killed; None: teardowns may take as long as they take.

        Raises:
            BaseException: what a teardown raised.
        """
        until = None if timeout is None else monotonic() + timeout
        with self._lock:
            self.closed = True
            for fail in list(self._runs.values()):
                fail(PipelineError("the Workers were closed while this run used them"))
            while self._idle:
                self._dismiss(self._idle.pop())
        stuck_at = monotonic() + _SUSPENDED_SECONDS
        try:
            while True:
                with self._lock:
                    self._look_after()
                    every = [*self._leaving, *(each for each in self._busy if not each.process.ended())]
                    if not every:
                        break
                    if until is not None and monotonic() > until:
                        raise PipelineError(
                            f"{len(every)} of the Workers did not end within {timeout:g} s, and were killed"
                        )
                    if monotonic() > stuck_at:  # a run over which nobody iterates does not see its end
                        self._kill_busy()
                poll = select.poll()
                for each in every:
                    poll.register(each.process.sentinel, select.POLLIN)
                poll.poll(1000 * _LOOK_SECONDS)
        finally:
            with self._lock:
                self._kill_busy()
                for each in self._leaving:
                    each.process.kill()
                starter, self._starter = self._starter, None
                while self._leaving:
                    self._let_go(self._leaving.pop())
                if starter is not None:
                    starter.close()
        torn, self._torn = self._torn, []
        if torn:
            raise _error_of(torn[0])

    def _kill_busy(self) -> None:
        """Those that have them let go of them when they see it."""
        for each in self._busy:
            each.process.kill()


def _error_of(words: tuple[Any, ...]) -> BaseException:
    link, attempts, pickled, kind, message, where, traceback = words
    del link
    error = Failure("", 0, None, attempts, kind, message, where, traceback, 0, pickled).exception()
    error.__notes__[-1:] = ["in the teardown of a process of the Workers"]
    return error


def _forget() -> None:
    for each in list(_all):
        each.forget()


os.register_at_fork(after_in_child=_forget)
