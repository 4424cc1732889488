"""`multiprocessing.pool`, whose `Pool` sends tasks and results through conveyor's queues, and survives its workers."""

from __future__ import annotations

import multiprocessing.pool as _stdlib
import typing as _typing

from ..queues.simple_queue import SimpleQueue as _SimpleQueue
from ._forwarding import forward as _forward
from ._pool_parts import help_task_handler as _help_task_handler
from ._pool_parts import make_worker as _make_worker
from ._pool_parts import set_up_queues as _set_up_queues

if _typing.TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from multiprocessing.context import BaseContext

__all__ = ["Pool", "ThreadPool"]


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
            _set_up_queues(self)

    @staticmethod
    def _help_stuff_finish(inqueue: _typing.Any, task_handler: _typing.Any, size: int) -> None:
        _help_task_handler(inqueue, task_handler, size)

    @staticmethod
    def Process(ctx: _typing.Any, *args: _typing.Any, **kwds: _typing.Any) -> _typing.Any:  # noqa: N802
        """A worker; its end is noticed, and it is replaced, also with SIGCHLD ignored."""
        return _make_worker(ctx, *args, **kwds)


class ThreadPool(_stdlib.ThreadPool, Pool):
    """`multiprocessing.pool.ThreadPool`: a `Pool` by its methods, with no queue between processes."""


_forward(__name__, _stdlib)
