"""Submitter: `submit` and `map`, with the options that they are made with."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

from .function_pickle import FunctionPickle
from .map_call import MapCall
from .process_future import ProcessFuture
from .task_options import TaskOptions, checked_options

if TYPE_CHECKING:
    from .runner import TaskRunner

__all__ = ["Submitter"]

T = TypeVar("T")
_UNSAID: Any = object()


class Submitter(Executor, ABC):
    """What an executor and its variants with other options have in common.

    Args:
        lock: guards the states of futures.
        functions: the pickles of functions.
        options: how calls are made.
    """

    def __init__(self, lock: Any, functions: FunctionPickle, options: TaskOptions) -> None:
        self._lock = lock
        self._functions = functions
        self._options = options

    @abstractmethod
    def _running(self) -> TaskRunner:
        """What makes the calls, started if it is not there."""

    @abstractmethod
    def _bound(self, options: TaskOptions) -> Submitter:
        """A variant whose calls have these options."""

    def options(
        self, *, timeout: float | None = _UNSAID, retries: int = _UNSAID, backoff: float = _UNSAID
    ) -> Submitter:
        """This executor, with other options for the calls that are submitted by way of what is returned.

            executor.options(timeout=2.5, retries=1).submit(fetch, url)

        It has the same workers. What is not given stays as it is. It is an `Executor` itself: it may be given to
        `loop.run_in_executor`, and its `map` has the options, too.

        Args:
            timeout: seconds that a call may take once it has begun; then its worker is replaced, and the future gets
                `ItemTimeout`, which is a `TimeoutError`. None: as long as it takes.
            retries: how often a call is tried again that raised, took too long, or lost its worker.
            backoff: seconds before the second attempt; doubled for each further one, and spread at random.

        Raises:
            TypeError, ValueError: an argument is not as above.
        """
        given = {"timeout": timeout, "retries": retries, "backoff": backoff}
        given = {name: value for name, value in given.items() if value is not _UNSAID}
        return self._bound(checked_options(self._options, **given))

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Have a worker process call a function.

        Args:
            fn: what is called; it and its arguments are pickled.
            args, kwargs: its arguments. Arrays and other buffers are copied once.

        Returns:
            The future: `cancel()` also ends a call that is running, by ending its worker, which is replaced.

        Raises:
            RuntimeError: the executor is shut down.
            BrokenProcessPool: no worker can be set up.
        """
        return self._submit(fn, args, kwargs, self._options)

    def _submit(
        self, fn: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any], options: TaskOptions
    ) -> Future[T]:
        runner = self._running()
        refused: BaseException | None = None
        function: Any = None
        try:
            function = self._functions.of(fn)
        except Exception as error:
            refused = error
        message = [function, args, kwargs] if kwargs else [function, args]
        future: ProcessFuture[T] = ProcessFuture(self._lock, runner.stop, message, options)
        if refused is not None:
            future.fail(refused)
        else:
            runner.submit(future)
        return future

    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
    ) -> Iterator[T]:
        """Have worker processes call a function for the items of iterables; gives the results in their order.

        Items travel together as it suits how long they take; no chunksize is needed.

        Args:
            fn: a function of as many arguments as there are iterables.
            iterables: where the arguments come from, as for the built-in `map`.
            timeout: seconds from now until when the results must be there; None: as long as it takes.
            chunksize: taken for the sake of the standard library's signature; it changes nothing.
            buffersize: so many calls at most are made whose results have not been taken, and only so many arguments
                are taken in advance; None: all arguments are taken at once.

        Raises:
            TimeoutError: by iterating: a result was not there in time.
            BaseException: by iterating: what a call raised, in its turn; the calls that have not begun are dropped.
            ValueError, TypeError: `chunksize` or `buffersize` is not as above.
        """
        return self._map(fn, iterables, timeout, chunksize, buffersize, self._options)

    def _map(
        self,
        fn: Callable[..., T],
        iterables: tuple[Iterable[Any], ...],
        timeout: float | None,
        chunksize: int,
        buffersize: int | None,
        options: TaskOptions,
    ) -> Iterator[T]:
        until = None if timeout is None else monotonic() + timeout
        if chunksize < 1:
            raise ValueError(f"chunksize is {chunksize!r}; it must be 1 or more (and changes nothing here)")
        if buffersize is not None:
            if not isinstance(buffersize, int):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise TypeError(f"buffersize is {buffersize!r:.60}; it must be an integer above 0, or None")
            if buffersize < 1:
                raise ValueError(f"buffersize is {buffersize}; it must be above 0, or None")
        runner = self._running()
        call = MapCall(
            runner.submit_block,
            self._functions.of(fn),
            zip(*iterables, strict=False),
            options,
            until,
            buffersize,
        )
        return call.results(refill=buffersize is not None)
