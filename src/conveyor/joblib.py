"""A backend for joblib: `Parallel` on the engine and the workers of pipelines.

    import conveyor.joblib
    import joblib

    conveyor.joblib.register()
    with joblib.parallel_config(backend="conveyor"):
        joblib.Parallel(n_jobs=2)(joblib.delayed(f)(x) for x in xs)

joblib is imported by `register`; it is an extra of conveyor's. Workers stay for the next call, as loky's do.
"""

from __future__ import annotations

import functools
import multiprocessing
import os
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from importlib import import_module
from pickle import PicklingError
from typing import Any, cast

from ._processors import processors
from .executors.process_pool_executor import ProcessPoolExecutor
from .executors.task_errors import BrokenExecutorPool
from .pipeline.worker.native_threads import heed_environment

__all__ = ["register", "shutdown"]

# What joblib tells every backend, or loky's users say, and what has nothing to change here: no file is mapped, and
# workers that are idle cost nothing.
_WITHOUT_MEANING = frozenset(
    (
        "context",
        "idle_worker_timeout",
        "max_nbytes",
        "mmap_mode",
        "prefer",
        "require",
        "temp_folder",
        "verbose",
    )
)


class _Shared:
    """The executor that all calls of this process share, so that workers stay between them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._executor: ProcessPoolExecutor | None = None
        self._key: tuple[int, bytes] | None = None

    def get(self, n_jobs: int, start: bytes) -> ProcessPoolExecutor:
        """The executor; another one if it was made for other workers.

        The one before ends when those who use it still have let go of it.

        Args:
            n_jobs: workers at most.
            start: what `_start` gets in each.
        """
        with self._lock:
            if self._executor is None or self._key != (n_jobs, start):
                self._executor = ProcessPoolExecutor(n_jobs, None, _start, (start,), name="joblib")
                self._key = n_jobs, start
            return self._executor

    def drop(self, executor: ProcessPoolExecutor | None = None) -> ProcessPoolExecutor | None:
        """Have another one made the next time; returns the one that was there, if it is this one.

        Args:
            executor: which; None: any.
        """
        with self._lock:
            dropped = self._executor
            if executor is not None and dropped is not executor:
                return None
            self._executor = None
        return dropped


_shared = _Shared()


def _forget() -> None:
    """In a forked child: the workers are the parent's, and whoever held the lock is not there."""
    global _shared
    _shared = _Shared()


os.register_at_fork(after_in_child=_forget)


class _Calls:
    """What one `Parallel` has submitted to the executor that it shares with others.

    Args:
        executor: the shared one.
    """

    def __init__(self, executor: ProcessPoolExecutor) -> None:
        self._executor = executor
        self._under_way: dict[Future[Any], None] = {}  # in the order of their submission
        self._is_over = False

    def submit(self, pickled: bytes) -> Future[Any]:
        """Have the calls of a batch made.

        Raises:
            BrokenProcessPool: no worker can be set up; the next `Parallel` tries it with others.
        """
        try:
            future = self._executor.submit(_call, pickled)
        except BrokenProcessPool:
            _shared.drop(self._executor)
            raise
        self._under_way[future] = None
        future.add_done_callback(self._done)
        if self._is_over:  # another thread has ended it meanwhile
            future.cancel()
        return future

    def _done(self, future: Future[Any]) -> None:
        self._under_way.pop(future, None)
        if not future.cancelled() and isinstance(future.exception(), BrokenExecutorPool):
            _shared.drop(self._executor)

    def end(self) -> None:
        """Cancel what is not done; what runs is ended by ending its worker, which is replaced."""
        self._is_over = True
        for future in reversed(list(self._under_way)):  # what waits first, or it would begin
            future.cancel()


def _start(pickled: bytes) -> None:
    """In a new worker: bound the threads of numerical libraries, and call the initializer, if there is one.

    The libraries read the environment when they are loaded, which unpickling the initializer may do; a forked
    worker has them.

    Args:
        pickled: the environment's variables, and the pickled initializer with its arguments, or None.
    """
    import pickle

    variables, initializer = pickle.loads(pickled)
    os.environ.update(variables)
    heed_environment()
    if initializer is not None:
        function, args = pickle.loads(initializer)
        function(*args)


def _call(pickled: bytes) -> Any:
    """In a worker: make the calls of a batch."""
    import pickle

    return pickle.loads(pickled)()


def _cloudpickle() -> Any:
    """What joblib pickles functions with: a package that it needs, and until joblib 1.5 one within it."""
    try:
        return import_module("joblib.externals.cloudpickle")
    except ImportError:
        return import_module("cloudpickle")


@functools.cache
def _backend() -> type[Any]:
    try:
        parallel: Any = import_module("joblib.parallel")
        dumps: Callable[[Any], bytes] = _cloudpickle().dumps
    except ImportError as error:
        raise ImportError(
            f"conveyor.joblib needs joblib, which cannot be imported ({error}); pip install 'conveyor[joblib]'"
        ) from error
    base: tuple[Any, ...] = (parallel.AutoBatchingMixin, parallel.ParallelBackendBase)

    def configure(self: Any, n_jobs: int = 1, parallel: Any = None, **options: Any) -> int:
        n_jobs = self.effective_n_jobs(n_jobs)
        if n_jobs == 1:
            raise fallback(sequential(nesting_level=self.nesting_level))
        if self._workers is not None and self.parallel is not parallel:
            # All of a `parallel_config` share one backend, and another has this one's calls under way.
            own: Any = cast("Any", type(self))
            another = own.__new__(own)
            another.__dict__.update(self.__dict__, _workers=None)
            another.reset_batch_stats()
            raise fallback(another)
        options = {**getattr(self, "backend_kwargs", {}), **options}
        initializer, initargs = options.pop("initializer", None), tuple(options.pop("initargs", ()))
        unknown = options.keys() - _WITHOUT_MEANING
        if unknown:
            raise TypeError(
                f"the backend has no option {', '.join(sorted(unknown))}; it has initializer and initargs"
            )
        if initializer is not None and not callable(initializer):
            raise TypeError(f"initializer is {initializer!r:.60}; it must be a callable")
        self.parallel = parallel
        start = dumps(
            (
                sorted(self._prepare_worker_env(n_jobs=n_jobs).items()),
                None if initializer is None else dumps((initializer, initargs)),
            )
        )
        self._workers = _Calls(_shared.get(n_jobs, start))
        return n_jobs

    def effective_n_jobs(self: Any, n_jobs: int | None) -> int:
        if n_jobs == 0:
            raise ValueError("n_jobs == 0 in Parallel has no meaning")
        if n_jobs is None or n_jobs == 1:
            return 1
        why_not = ""
        if multiprocessing.current_process().daemon:
            why_not = "run in a daemonic process, which may have no children"
        elif self.nesting_level and not self.in_main_thread():
            why_not = "be nested below threads, which hold locks while processes are forked"
        if why_not:
            # `Parallel` is who called, and its user's line further out.
            warnings.warn(f"Conveyor-backed parallel loops cannot {why_not}, setting n_jobs=1", stacklevel=3)
            return 1
        return max(processors() + 1 + n_jobs, 1) if n_jobs < 0 else n_jobs

    def submit(self: Any, func: Any, callback: Callable[[Any], object] | None = None) -> Future[Any]:
        # As joblib's own: also what is defined in the main module, and lambdas.
        future: Future[Any]
        calls: _Calls | None = self._workers
        try:
            pickled = dumps(func)
        except Exception as error:
            # By the future: joblib also submits in a callback, where nobody would see what is raised.
            future = Future()
            refused = PicklingError("Could not pickle the task to send to the workers.")
            refused.__cause__ = error
            future.set_exception(refused)
        else:
            if calls is None:  # joblib's callback of a call that has been ended meanwhile
                future = Future()
                future.cancel()
            else:
                future = calls.submit(pickled)
        if callback is not None:
            future.add_done_callback(callback)
        return future

    def terminate(self: Any) -> None:
        self._workers = None  # the processes stay for the next call
        self.reset_batch_stats()

    def abort_everything(self: Any, ensure_ready: bool = True) -> None:
        calls, self._workers = self._workers, None
        if calls is not None:
            calls.end()
        if ensure_ready:
            options = getattr(self.parallel, "_backend_kwargs", {})
            self.configure(n_jobs=self.parallel.n_jobs, parallel=self.parallel, **options)

    def retrieve_result_callback(self: Any, out: Future[Any]) -> Any:
        return out.result()

    def reduce(self: Any) -> tuple[Any, ...]:
        return _made_again, (self.nesting_level, self.inner_max_num_threads)

    fallback, sequential = parallel.FallbackToBackend, parallel.SequentialBackend
    return type(
        "ConveyorBackend",
        base,
        {
            "__doc__": "joblib's face of a `ProcessPoolExecutor`.",
            "__module__": __name__,
            "supports_retrieve_callback": True,
            "supports_inner_max_num_threads": True,
            "_workers": None,
            "configure": configure,
            "effective_n_jobs": effective_n_jobs,
            "submit": submit,
            "retrieve_result_callback": retrieve_result_callback,
            "terminate": terminate,
            "abort_everything": abort_everything,
            "__reduce__": reduce,
        },
    )


def _made_again(nesting_level: int | None, inner_max_num_threads: int | None) -> Any:
    return _backend()(nesting_level=nesting_level, inner_max_num_threads=inner_max_num_threads)


def register(name: str = "conveyor", make_default: bool = False) -> None:
    """Make the backend known to joblib.

    Args:
        name: what it is called in `joblib.parallel_config(backend=...)` and `joblib.Parallel(backend=...)`.
        make_default: use it wherever no backend is asked for.

    Raises:
        ImportError: joblib is not installed.
    """
    backend = _backend()
    import_module("joblib").register_parallel_backend(name, backend, make_default=make_default)


def shutdown() -> None:
    """End the workers that are kept for the next call, when they have done what they have."""
    executor = _shared.drop()
    if executor is not None:
        executor.shutdown()
