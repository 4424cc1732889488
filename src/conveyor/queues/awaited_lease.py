"""AwaitedLease: what `alease()` returns, of every queue."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from types import TracebackType
from typing import Any, Generic, TypeVar

__all__ = ["AwaitedLease"]

T = TypeVar("T")
L = TypeVar("L")


class AwaitedLease(Generic[T, L]):
    """Use it in `async with`, which gives the item, or await it for the lease itself.

    Args:
        take: takes the lease.
        finish: what is called with the lease and with what ends it, when the block is left; None: it is ended at once.
    """

    __slots__ = ("_finish", "_lease", "_take")

    def __init__(
        self,
        take: Callable[[], Coroutine[Any, Any, L]],
        finish: Callable[[L, Callable[[], None]], Coroutine[Any, Any, None]] | None = None,
    ) -> None:
        self._take = take
        self._finish = finish
        self._lease: Any = None

    def __await__(self) -> Generator[Any, None, L]:
        return self._take().__await__()

    async def __aenter__(self) -> T:
        if self._lease is not None:
            raise RuntimeError("this alease() block was entered already; call alease() for each")
        self._lease = await self._take()
        item: T = self._lease.item
        return item

    async def __aexit__(
        self, type_: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        lease = self._lease
        if lease is None:
            return
        if self._finish is None:
            lease.__exit__(type_, error, trace)
        else:
            await self._finish(lease, lambda: lease.__exit__(type_, error, trace))
