"""JoinableQueue: a queue whose producers can wait until all items are done."""

from __future__ import annotations

from typing import TypeVar

from .._native import Channel
from .._public import public
from .queue import Queue

__all__ = ["JoinableQueue"]

T = TypeVar("T")


@public
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
        tasks = self._tasks()
        return 0 if tasks is None else tasks._unfinished()

    def task_done(self) -> None:
        """Say that an item taken by `get` is dealt with: one of this process's, else of anybody's.

        Raises:
            ValueError: called more often than items were put.
        """
        done = self._task_done()
        if done is None:  # this process has closed it
            tasks = self._tasks()
            done = tasks is not None and tasks._task_done()
            self._part_if_done()
        if not done:
            raise ValueError("task_done() called too many times")

    def join(self, timeout: float | None = None) -> bool:
        """Wait until every item that was put is done.

        Args:
            timeout: seconds to wait at most; None: for ever.

        Returns:
            False if the time ran out before.
        """
        tasks = self._tasks()
        done = tasks is None or tasks._wait_tasks(timeout)
        self._part_if_done()
        return done

    # `join` and `task_done` go on after `close`, as those of multiprocessing do: by this process's memory as long as
    # something is to be done, and then by that of others, who may put more.

    def _part(self) -> None:
        if not self._is_held or not self._unfinished():
            self._let_go()

    def _part_if_done(self) -> None:
        if self._is_closed and self._is_held:
            self._part()

    def _tasks(self) -> Channel | None:
        # None: nobody has the queue any more.
        if not self._is_closed:
            return self
        if self._has_memory:
            segment = self._segment
        else:
            from ._afterwards import attach_elsewhere

            if (found := attach_elsewhere(self._identity)) is None:
                return None
            segment = found
        return Channel(segment)
