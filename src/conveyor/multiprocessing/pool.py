"""`multiprocessing.pool`, whose `Pool` sends tasks and results through conveyor's queues, and survives its workers."""

from __future__ import annotations

import multiprocessing.pool as _stdlib
import typing as _typing

from ..queues.simple_queue import SimpleQueue as _SimpleQueue
from ._forwarding import forward as _forward
from ._pool_queues import PoolQueues as _PoolQueues
from ._pool_queues import Tasks as _Tasks
from ._pool_worker import work_on_tasks as _work_on_tasks
from ._unseen_ends import noticing_unseen_ends as _noticing_unseen_ends

if _typing.TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from multiprocessing.context import BaseContext

__all__ = ["Pool", "ThreadPool"]

_standard: _typing.Any = _stdlib
_standard_help = _standard.Pool._help_stuff_finish
_standard_worker = _standard.worker


class Pool(_stdlib.Pool):
    """`multiprocessing.pool.Pool` over conveyor's queues, unless a `context` says otherwise.

    A task whose worker dies raises `WorkerLost`, one whose arguments or result cannot be unpickled raises why; the
    others go on. It is not tried again, for it may have had effects.
    """

    def __init__(
        self,
        processes: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[_typing.Any] = (),
        maxtasksperchild: int | None = None,
        context: BaseContext | None = None,
    ) -> None:
        if context is None:
            from . import get_context

            context = get_context()
        super().__init__(processes, initializer, initargs, maxtasksperchild, context)

    def _setup_queues(self) -> None:
        super()._setup_queues()  # type: ignore[misc]  # pyright: ignore
        made: _typing.Any = self
        if isinstance(made._inqueue, _SimpleQueue):  # the context is one of ours
            set_up_queues(self)

    @staticmethod
    def _help_stuff_finish(inqueue: _typing.Any, task_handler: _typing.Any, size: int) -> None:
        help_task_handler(inqueue, task_handler, size)

    @staticmethod
    def Process(ctx: _typing.Any, *args: _typing.Any, **kwds: _typing.Any) -> _typing.Any:  # noqa: N802
        """A worker; its end is noticed, and it is replaced, also with SIGCHLD ignored."""
        return make_worker(ctx, *args, **kwds)


def set_up_queues(pool: _typing.Any) -> None:
    """Give a pool, of whatever class, conveyor's queues."""
    # Not methods of the pool: its threads must not keep it from being collected.
    queues = _PoolQueues()
    pool._inqueue = queues.tasks
    pool._outqueue = queues.results
    pool._quick_put = queues.put
    pool._quick_get = queues.get


def help_task_handler(inqueue: _typing.Any, task_handler: _typing.Any, size: int) -> None:
    """Make room in the queue of tasks until the thread that fills it has ended."""
    if not isinstance(inqueue, _Tasks):
        _standard_help(inqueue, task_handler, size)
        return
    while task_handler.is_alive() and not inqueue.empty():
        inqueue.discard()


def make_worker(ctx: _typing.Any, *args: _typing.Any, **kwds: _typing.Any) -> _typing.Any:
    """A worker process of a pool, not yet started."""
    if kwds.get("target") is _standard_worker and isinstance(kwds["args"][0], _Tasks):
        kwds["target"] = _work_on_tasks
    return _noticing_unseen_ends(ctx.Process(*args, **kwds))


class ThreadPool(_stdlib.ThreadPool, Pool):
    """`multiprocessing.pool.ThreadPool`: a `Pool` by its methods, with no queue between processes."""


_forward(__name__, _stdlib)
