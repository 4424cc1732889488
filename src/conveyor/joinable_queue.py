"""JoinableQueue: a queue whose producers can wait until all items are done."""

from __future__ import annotations

from typing import TypeVar

from .queue import Queue

__all__ = ["JoinableQueue"]

T = TypeVar("T")


class JoinableQueue(Queue[T]):
    """A drop-in for `multiprocessing.JoinableQueue`: a `Queue` with `task_done` and `join`.

    Only what was really put counts as a task: an item that cannot be pickled leaves `join` as it was.
    """

    @property
    def unfinished_tasks(self) -> int:
        """For how many items that were put, and not dropped, `task_done` is still to be called."""
        return self._unfinished()

    def task_done(self) -> None:
        """Say that an item taken from the queue is dealt with.

        Raises:
            ValueError: called more often than items were put.
        """
        if not self._task_done():
            raise ValueError("task_done() called too many times")

    def join(self, timeout: float | None = None) -> bool:
        """Wait until `task_done` was called for every item that was put.

        Args:
            timeout: seconds to wait at most; None: for ever.

        Returns:
            False if the time ran out before.
        """
        return self._wait_tasks(timeout)
