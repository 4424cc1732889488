"""ProcessPoolExecutor: `concurrent.futures`' executor of processes, on the engine and the workers of pipelines."""

from __future__ import annotations

import multiprocessing
import os
import threading
import weakref
from collections.abc import Callable
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Any, Literal

from .._memory.labels import place_outside
from .._processors import processors
from .._public import public
from .bound_executor import BoundExecutor
from .function_pickle import FunctionPickle
from .runner import TaskRunner, check_mine, check_not_ending
from .submitter import Submitter
from .task_engine import TaskEngine
from .task_options import TaskOptions, checked_options

__all__ = ["ProcessPoolExecutor"]


@public
class ProcessPoolExecutor(Submitter):
    """Calls functions in worker processes, as `concurrent.futures.ProcessPoolExecutor` does, with these differences:

    - a worker that dies costs the call that it was at, whose future gets `WorkerLost`, and nothing else;
    - `cancel()` of a future whose call is running ends it;
    - calls may have time limits and retries, for all here, for some by `options`;
    - quick calls travel together, and `map` needs no chunksize.

    Workers are started when there is something to do for them, and cost nothing while there is not. Under fork they
    are copies of what the program was when the first call was submitted.

    Args:
        max_workers: processes at most; None: one for each processor that this process may use.
        mp_context: a context of `multiprocessing` (or of `conveyor.multiprocessing`), or the name of a start method;
            None: Python's default.
        initializer: called in each worker before its first call. If it raises, the executor is broken.
        initargs: its arguments.
        max_tasks_per_child: a worker is replaced after so many calls; None: never. Not under fork, as the standard
            library has it; without `mp_context` workers are spawned then.
        timeout, retries, backoff: for all calls; see `options`.
        name: what `conveyor top`, `conveyor ls` and the dashboard call it; None: the line that made it.

    Raises:
        TypeError, ValueError: an argument is not as above.
    """

    def __init__(
        self,
        max_workers: int | None = None,
        mp_context: Any = None,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        *,
        max_tasks_per_child: int | None = None,
        timeout: float | None = None,
        retries: int = 0,
        backoff: float = 0.0,
        name: str | None = None,
    ) -> None:
        options = checked_options(TaskOptions(), timeout=timeout, retries=retries, backoff=backoff)
        super().__init__(threading.RLock(), FunctionPickle(), options)
        if max_workers is None:
            max_workers = processors()
        elif max_workers <= 0:
            raise ValueError(f"max_workers must be greater than 0, and is {max_workers!r}")
        if initializer is not None and not callable(initializer):  # pyright: ignore[reportUnnecessaryComparison]
            raise TypeError(f"initializer is {initializer!r:.60}; it must be a callable")
        if max_tasks_per_child is not None:
            if not isinstance(max_tasks_per_child, int):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise TypeError(f"max_tasks_per_child is {max_tasks_per_child!r:.60}; it must be an integer")
            if max_tasks_per_child <= 0:
                raise ValueError(f"max_tasks_per_child is {max_tasks_per_child}; it must be >= 1")
            mp_context = "spawn" if mp_context is None else mp_context
            if _start_method(mp_context) == "fork":
                raise ValueError(
                    f"max_tasks_per_child is {max_tasks_per_child} and mp_context is fork; it must be 'spawn' or "
                    "'forkserver', since a program with threads is not forked again and again"
                )
        if name is not None and (not isinstance(name, str) or not name):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"name is {name!r:.60}; it must be a text that is not empty, or None")
        self._name = name or ""
        self._place = place_outside()
        self._max_workers = max_workers
        self._max_tasks_per_child = max_tasks_per_child
        self._start_method = _start_method(mp_context)
        self._initializer = initializer
        self._initargs = initargs
        self._guard = threading.Lock()
        self._runner: TaskRunner | None = None
        self._began_in: int | None = None  # the process that has, or is just starting, the workers
        self._shut_down = False
        _all.add(self)

    def _running(self) -> TaskRunner:
        runner = self._runner
        if runner is not None:
            return runner
        with self._guard:
            if self._shut_down:
                raise RuntimeError("cannot schedule new futures after shutdown")
            check_not_ending()
            if self._runner is None:
                if self._began_in is not None:
                    check_mine(
                        self._began_in
                    )  # a worker of its own, copied before there was a runner, gets here
                self._began_in = os.getpid()
                engine = TaskEngine(
                    self._max_workers,
                    self._start_method,
                    self._initializer,
                    self._initargs,
                    self._max_tasks_per_child,
                    self._lock,
                    self._name,
                    self._place,
                )
                runner = TaskRunner(engine)
                runner.note(self._options)
                # When nobody can submit any more: what was submitted is done, and the workers leave.
                # The runner lives as long as its thread: held here, it would keep what failed, and so the executor.
                weakref.finalize(self, _shut_down, weakref.ref(runner)).atexit = False
                self._runner = runner
            return self._runner

    def _bound(self, options: TaskOptions) -> BoundExecutor:
        return BoundExecutor(self, options)

    # What programs look for in the standard library's executor, though it has no public names.

    @property
    def _mp_context(self) -> BaseContext:
        return multiprocessing.get_context(self._start_method)

    @property
    def _executor_manager_thread(self) -> threading.Thread | None:
        return None if self._runner is None else self._runner.thread

    @property
    def _broken(self) -> str | Literal[False]:
        return False if self._runner is None else self._runner.broken

    @property
    def _processes(self) -> dict[int, BaseProcess]:
        return {} if self._runner is None else self._runner.processes()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls; the workers leave when those that were submitted are done.

        Args:
            wait: until then.
            cancel_futures: calls that have not begun are cancelled.
        """
        with self._guard:
            self._shut_down = True
            runner = self._runner
        if runner is not None:
            runner.shut_down(cancel_futures)
            if wait:
                runner.join()

    def kill_workers(self) -> None:
        """End at once: calls that have not begun are cancelled, those that are running fail, workers are killed."""
        with self._guard:
            self._shut_down = True
            runner = self._runner
        if runner is not None:
            runner.kill()
            runner.join()

    def terminate_workers(self) -> None:
        """As `kill_workers`, but workers get SIGTERM first, which ends them unless a function of theirs handles it."""
        for process in self._processes.values():
            process.terminate()
        self.kill_workers()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> Literal[False]:
        # After a Ctrl-C nobody wants to wait for what was submitted.
        if exc_type is not None and issubclass(exc_type, KeyboardInterrupt):
            self.kill_workers()
            return False
        try:
            self.shutdown(wait=True)
        except KeyboardInterrupt:
            self.kill_workers()
            raise
        return False


def _shut_down(runner: weakref.ref[TaskRunner]) -> None:
    if (alive := runner()) is not None:
        alive.shut_down(False)


def _start_method(mp_context: Any) -> str | None:
    if mp_context is None:
        return None
    if isinstance(mp_context, str):
        if mp_context not in multiprocessing.get_all_start_methods():
            raise ValueError(
                f"mp_context is {mp_context!r}; a start method is one of {multiprocessing.get_all_start_methods()}"
            )
        return mp_context
    method = getattr(mp_context, "get_start_method", None)
    if not callable(method):
        raise TypeError(
            f"mp_context is {mp_context!r:.60}; it must be what multiprocessing.get_context() returns, the name of a "
            "start method, or None"
        )
    return str(method())


_all: weakref.WeakSet[ProcessPoolExecutor] = weakref.WeakSet()


def _forget() -> None:
    """In a forked child: who has an executor's guard, to start workers, is not there, or is at this fork."""
    for executor in list(_all):
        executor._guard = threading.Lock()  # pyright: ignore[reportPrivateUsage]


os.register_at_fork(after_in_child=_forget)
