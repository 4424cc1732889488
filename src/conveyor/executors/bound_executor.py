"""BoundExecutor: an executor whose calls are made with other options."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .submitter import Submitter
from .task_options import TaskOptions

if TYPE_CHECKING:
    from .runner import TaskRunner

__all__ = ["BoundExecutor"]


class BoundExecutor(Submitter):
    """What `ProcessPoolExecutor.options` returns.

    Args:
        executor: whose workers make the calls.
        options: how they are made.
    """

    def __init__(self, executor: Any, options: TaskOptions) -> None:
        super().__init__(executor._lock, executor._functions, options)
        self._executor = executor
        self._max_workers: int = executor._max_workers

    def _running(self) -> TaskRunner:
        runner: TaskRunner = self._executor._running()
        runner.note(self._options)
        return runner

    def _bound(self, options: TaskOptions) -> BoundExecutor:
        return BoundExecutor(self._executor, options)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Shut down the executor that this is a variant of."""
        self._executor.shutdown(wait, cancel_futures=cancel_futures)
