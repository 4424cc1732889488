"""TaskRunner: an engine that makes calls, and the thread that it runs in."""

from __future__ import annotations

import os
import sys
import threading
import weakref
from concurrent.futures import CancelledError
from multiprocessing.process import BaseProcess
from typing import Any, Literal

from ..pipeline.host.forking import start_thread
from .map_call import MapBlock
from .process_future import ProcessFuture
from .task_engine import TaskEngine
from .task_errors import broken_by
from .task_options import TaskOptions

__all__ = ["TaskRunner", "check_mine", "check_not_ending"]


class TaskRunner:
    """Makes calls until it is shut down.

    It is made in the thread that submits the first call: if processes are forked, they are copies of what the
    program is then, by way of a template (`pipeline/worker/template.py`), and never of one whose other threads hold
    locks.

    Args:
        engine: what makes them.
    """

    def __init__(self, engine: TaskEngine) -> None:
        self._pid = os.getpid()
        self._killed = False
        self._error: BaseException | None = None
        self.broken: str | Literal[False] = False
        """Why it takes no more calls, if it had to give up."""
        self._engine = engine
        try:
            engine.get_ready()
            self.thread: threading.Thread | None = start_thread("conveyor executor", self._run)
            """Where the engine runs; None: somebody has waited for its end."""
        except BaseException:
            engine.workforce.end_processes()
            engine.poller.close()
            raise
        _alive.add(self)

    # -- in its thread ------------------------------------------------------------------------------------------

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            for _ in self._engine.run():
                pass
        except BaseException as raised:
            error = raised
        self._end(error)

    def _end(self, error: BaseException | None) -> None:
        engine = self._engine
        if error is not None or self._killed:
            self.broken = str(broken_by(error))
        self._error = error
        waiting = engine.tasks.end(self._refuse, drop=True)
        left = [*engine.work.take_unfinished(), *waiting]
        _alive.discard(self)
        if error is not None:
            import traceback

            traceback.clear_frames(
                error.__traceback__
            )  # they hold queues of workers, as long as the futures are kept
        for task in left:
            task.fail(broken_by(error))

    # -- in others ----------------------------------------------------------------------------------------------

    def submit(self, future: ProcessFuture[Any]) -> None:
        """Make a call.

        Raises:
            RuntimeError: it is shut down, or this is a forked copy of the process that has the workers.
            BrokenProcessPool: no worker can be set up.
        """
        if _forks:
            check_mine(self._pid)
        self._engine.tasks.add(future)

    def submit_block(self, block: MapBlock) -> None:
        """Make some calls of a `map`; raises what `submit` does."""
        if _forks:
            check_mine(self._pid)
        self._engine.tasks.add_block(block)

    def _refuse(self) -> BaseException:
        if self.broken:
            return broken_by(self._error)
        return RuntimeError("cannot schedule new futures after shutdown")

    def note(self, options: TaskOptions) -> None:
        """Calls with these options will be submitted."""
        self._engine.work.task_limits.note(options.timeout)

    def stop(self, task: ProcessFuture[Any]) -> None:
        """A call that has begun was cancelled."""
        if os.getpid() == self._pid:
            self._engine.work.stop(task)
            self._engine.poller.wake()

    def shut_down(self, cancel: bool) -> None:
        """Take no more calls, and end when those that were submitted are done.

        Args:
            cancel: those that have not begun are not made.
        """
        if os.getpid() != self._pid:
            return
        for task in self._engine.tasks.end(self._refuse, drop=cancel):
            if isinstance(task, ProcessFuture):
                task.cancel()
            else:
                task.fail(CancelledError())

    def kill(self) -> None:
        """End at once: workers are killed, and calls that are not done fail."""
        self._killed = True
        self.shut_down(cancel=True)
        if os.getpid() == self._pid:
            self._engine.stop()

    def join(self) -> None:
        """Wait for the end."""
        thread = self.thread
        if os.getpid() == self._pid and thread is not None and thread is not threading.current_thread():
            thread.join()
            self.thread = None

    def processes(self) -> dict[int, BaseProcess]:
        """The worker processes there are, by their ids."""
        handles: list[Any] = list(self._engine.work.pool.handles)
        return {handle.pid: handle.process.process for handle in handles}


_alive: weakref.WeakSet[TaskRunner] = weakref.WeakSet()
_ending = False
_forks = False  # this process is a fork: runners of another may be here


def at_exit() -> None:
    """The interpreter ends: what was submitted is done first, as the standard library has it.

    Unless somebody has ended the program by Ctrl-C, or does so now. Workers do not get it from the terminal, so nothing
    else would end what they do.
    """
    global _ending
    _ending = True
    runners = list(_alive)
    try:
        for runner in runners:
            if _is_interrupted():
                runner.kill()
            else:
                runner.shut_down(cancel=False)
        for runner in runners:
            runner.join()
    except KeyboardInterrupt:
        for runner in runners:
            runner.kill()
        for runner in runners:
            runner.join()
        raise


def _is_interrupted() -> bool:
    """Whether the program ends by a Ctrl-C that nobody caught. In an interactive session it may be one of long ago."""
    last = getattr(sys, "last_type", None)
    return isinstance(last, type) and issubclass(last, KeyboardInterrupt) and not hasattr(sys, "ps1")


def check_not_ending() -> None:
    """Raise if the interpreter ends.

    Raises:
        RuntimeError: it does.
    """
    if _ending:
        raise RuntimeError("cannot schedule new futures after interpreter shutdown")


def check_mine(pid: int) -> None:
    """Raise if an executor's workers are not of this process.

    Args:
        pid: the process that has them.

    Raises:
        RuntimeError: they are of another.
    """
    if os.getpid() != pid:
        raise RuntimeError(
            f"the executor's workers belong to process {pid}, and this is a fork of it, {os.getpid()}; "
            "make an executor here"
        )


def _forget() -> None:
    """In a forked child: the parent's runners are not there."""
    global _alive, _ending, _forks
    _forks = True
    _alive = weakref.WeakSet()
    _ending = False


os.register_at_fork(after_in_child=_forget)
threading._register_atexit(at_exit)  # type: ignore[attr-defined]  # before all threads that are no daemons are waited for
