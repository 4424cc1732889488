"""`multiprocessing.pool`, whose `Pool` sends tasks and results through conveyor's queues."""

from __future__ import annotations

import multiprocessing.pool as _stdlib
from typing import TYPE_CHECKING, Any

from .context import default_context

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from multiprocessing.context import BaseContext

__all__ = ["Pool", "ThreadPool"]


class Pool(_stdlib.Pool):
    """`multiprocessing.pool.Pool` over conveyor's queues, unless a `context` says otherwise."""

    def __init__(
        self,
        processes: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
        maxtasksperchild: int | None = None,
        context: BaseContext | None = None,
    ) -> None:
        if context is None:
            context = default_context.get_context()
        super().__init__(processes, initializer, initargs, maxtasksperchild, context)


class ThreadPool(_stdlib.ThreadPool, Pool):
    """`multiprocessing.pool.ThreadPool`: a `Pool` by its methods, with no queue between processes."""


def __getattr__(name: str) -> Any:
    return getattr(_stdlib, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *dir(_stdlib)})
