"""What a pool, of whatever class, does otherwise over conveyor's queues: its queues, its workers, its end."""

from __future__ import annotations

import multiprocessing.pool
from typing import Any

from ._pool_queues import PoolQueues, Tasks
from ._pool_starts import NoWorker
from ._pool_worker import work_on_tasks
from ._unseen_ends import noticing_unseen_ends

__all__ = ["help_task_handler", "make_worker", "set_up_queues"]

_standard: Any = multiprocessing.pool
_standard_help = _standard.Pool._help_stuff_finish
_standard_worker = _standard.worker


def set_up_queues(pool: Any) -> None:
    """Give a pool, of whatever class, conveyor's queues."""
    # Not methods of the pool: its threads must not keep it from being collected.
    queues = PoolQueues()
    pool._inqueue = queues.tasks
    pool._outqueue = queues.results
    pool._quick_put = queues.put
    pool._quick_get = queues.get


def help_task_handler(inqueue: Any, task_handler: Any, size: int) -> None:
    """Make room in the queue of tasks until the thread that fills it has ended."""
    if not isinstance(inqueue, Tasks):
        _standard_help(inqueue, task_handler, size)
        return
    while task_handler.is_alive() and not inqueue.empty():
        inqueue.discard()


def make_worker(ctx: Any, *args: Any, **kwds: Any) -> Any:
    """A worker process of a pool, not yet started; or what stands for one, when it is no use to start more."""
    if kwds.get("target") is not _standard_worker or not isinstance(kwds["args"][0], Tasks):
        return noticing_unseen_ends(ctx.Process(*args, **kwds))
    kwds["target"] = work_on_tasks
    starts = kwds["args"][0].starts
    if starts is None:  # somebody else's pool has given us the queue
        return noticing_unseen_ends(ctx.Process(*args, **kwds))
    if not starts.may_start():
        return NoWorker()
    process = noticing_unseen_ends(ctx.Process(*args, **kwds))
    starts.add(process)
    return process
