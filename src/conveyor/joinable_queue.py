"""JoinableQueue: a queue whose producers can wait until all items are done."""

from __future__ import annotations

from typing import TypeVar

from .queue import Queue

__all__ = ["JoinableQueue"]

T = TypeVar("T")


class JoinableQueue(Queue[T]):
    """A drop-in for `multiprocessing.JoinableQueue`: a `Queue` with `task_done` and `join`.

    Only what was really put counts as a task: an item that cannot be pickled leaves `join` as it was. What a
    process took and had not said to be done when it was killed counts as done, so that nobody waits for the dead. After
    a normal end it stays to be done: somebody else may say `task_done` for it.
    An item under `lease` is done when it is acknowledged, or when it has failed for good.
    """

    _counts_tasks = True

    @property
    def unfinished_tasks(self) -> int:
        """For how many items that were put, and not dropped, `task_done` is still to be called."""
        return self._unfinished()

    def task_done(self) -> None:
        """Say that an item taken by `get` is dealt with: one of this process's, else of anybody's.

        Raises:
            ValueError: called more often than items were put.
        """
        if not self._task_done():
            raise ValueError("task_done() called too many times")

    def join(self, timeout: float | None = None) -> bool:
        """Wait until every item that was put is done.

        Args:
            timeout: seconds to wait at most; None: for ever.

        Returns:
            False if the time ran out before.
        """
        return self._wait_tasks(timeout)
