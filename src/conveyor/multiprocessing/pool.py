"""`multiprocessing.pool`, whose `Pool` sends tasks and results through conveyor's queues."""

from __future__ import annotations

import multiprocessing.pool as _stdlib
import typing as _typing

from ._forwarding import forward as _forward
from ._unseen_ends import noticing_unseen_ends as _noticing_unseen_ends

if _typing.TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from multiprocessing.context import BaseContext

__all__ = ["Pool", "ThreadPool"]


class Pool(_stdlib.Pool):
    """`multiprocessing.pool.Pool` over conveyor's queues, unless a `context` says otherwise."""

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

    @staticmethod
    def Process(ctx: _typing.Any, *args: _typing.Any, **kwds: _typing.Any) -> _typing.Any:  # noqa: N802
        """A worker; its end is noticed, and it is replaced, also with SIGCHLD ignored."""
        return _noticing_unseen_ends(ctx.Process(*args, **kwds))


class ThreadPool(_stdlib.ThreadPool, Pool):
    """`multiprocessing.pool.ThreadPool`: a `Pool` by its methods, with no queue between processes."""


_forward(__name__, _stdlib)
