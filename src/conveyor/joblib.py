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
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from importlib import import_module
from typing import Any

from ._processors import processors
from .executors.process_pool_executor import ProcessPoolExecutor

__all__ = ["register", "shutdown"]


class _Shared:
    """The executor that all calls of this process share, so that workers stay between them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._executor: ProcessPoolExecutor | None = None
        self._key: tuple[Any, ...] = ()

    def get(self, n_jobs: int, variables: dict[str, str]) -> ProcessPoolExecutor:
        """The executor; another one if it was made for other workers, or by another process."""
        key = (os.getpid(), n_jobs, *sorted(variables.items()))
        with self._lock:
            if self._executor is None or self._key != key:
                if self._executor is not None:
                    self._executor.shutdown(wait=False)
                self._executor = ProcessPoolExecutor(n_jobs, None, _set_variables, (variables,))
                self._key = key
            return self._executor

    def free(self) -> None:
        """In a forked child: whoever has the lock is not there."""
        self._lock = threading.Lock()

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


os.register_at_fork(after_in_child=_shared.free)


def _set_variables(variables: dict[str, str]) -> None:
    """In a new worker: bound the threads of numerical libraries, which read these when they are loaded."""
    os.environ.update(variables)


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
        self.parallel = parallel
        self._executor = _shared.get(n_jobs, self._prepare_worker_env(n_jobs=n_jobs))
        return n_jobs

    def effective_n_jobs(self: Any, n_jobs: int | None) -> int:
        if n_jobs == 0:
            raise ValueError("n_jobs == 0 in Parallel has no meaning")
        if n_jobs is None:
            return 1
        return max(processors() + 1 + n_jobs, 1) if n_jobs < 0 else n_jobs

    def submit(self: Any, func: Any, callback: Callable[[Any], object] | None = None) -> Future[Any]:
        # As joblib's own: also what is defined in the main module, and lambdas.
        future = self._executor.submit(_call, dumps(func))
        if callback is not None:
            future.add_done_callback(callback)
        return future  # type: ignore[no-any-return]

    def terminate(self: Any) -> None:
        self._executor = None  # its workers stay for the next call
        self.reset_batch_stats()

    def abort_everything(self: Any, ensure_ready: bool = True) -> None:
        executor, self._executor = self._executor, None
        if executor is not None:
            _shared.drop(executor)
            executor.kill_workers()
        if ensure_ready:
            self.configure(n_jobs=self.parallel.n_jobs, parallel=self.parallel)

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
