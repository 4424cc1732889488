"""What calls fail with when it is not their function that raised, and how a failure becomes an exception."""

from __future__ import annotations

import contextlib
import pickle
from concurrent.futures import process
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from ..errors import StageError, WorkerLost
from ..pipeline.base.failure import Failure

__all__ = ["BrokenExecutorPool", "TaskWorkerLost", "broken_by", "exception_of"]


# As a cause it shows its text; programs and tests of the standard library's executor look for it by name.
_remote_traceback: Any = process._RemoteTraceback  # pyright: ignore[reportPrivateUsage]


class TaskWorkerLost(WorkerLost, BrokenProcessPool):
    """The worker process of a call died while the call was running.

    It is a `BrokenProcessPool`, too, which says the same of the standard library's executor: what is written for that
    catches it. But the pool is not broken: the worker is replaced, and no other call is concerned.
    """


class BrokenExecutorPool(BrokenProcessPool):
    """No worker process can be set up, or was allowed to live: the executor takes no more calls."""


def exception_of(failure: Failure) -> BaseException:
    """What a call raised, or failed with, as a future has it: its `__cause__` shows the traceback in the worker."""
    error: BaseException | None = None
    if isinstance(failure.pickled, bytes):
        with contextlib.suppress(Exception):  # its class cannot be made from its arguments, or is not there
            made = pickle.loads(failure.pickled)
            error = made if isinstance(made, BaseException) else None
    elif isinstance(failure.pickled, BaseException):
        error = failure.pickled
    if error is None:
        error = StageError(f"{failure.kind}: {failure.message}" if failure.message else failure.kind)
    if type(error) is WorkerLost and not failure.traceback:
        error = TaskWorkerLost(str(error), error.pid, error.exitcode)
    if failure.traceback:
        cause: BaseException = _remote_traceback(f'\n"""\n{failure.traceback}"""')
        cause.__cause__, error.__cause__ = error.__cause__, cause
    if failure.attempts > 1:
        error.add_note(f"tried {failure.attempts} times")
    return error


def broken_by(error: BaseException | None) -> BrokenExecutorPool:
    """What calls that are not done fail with when the executor cannot go on.

    Args:
        error: why; None: it was stopped.
    """
    if error is None:
        return BrokenExecutorPool("the executor was stopped before this call was done")
    broken = BrokenExecutorPool(
        f"the executor takes no more calls, because of {type(error).__name__}: {error}"
    )
    broken.__cause__ = error
    return broken
