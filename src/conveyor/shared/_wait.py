"""Waiting until what is shared is as somebody wants it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

__all__ = ["wait_until"]

R = TypeVar("R")


class _Changing(Protocol):
    def _announce(self) -> int: ...
    def _sleep(self, epoch: int, until: float) -> bool: ...


def wait_until(changing: _Changing, predicate: Callable[[], R], timeout: float | None) -> R:
    """Call `predicate` now and after each change, until it is true or `timeout` seconds are over; its result."""
    end = -1.0 if timeout is None else max(time.monotonic() + timeout, 0.0)
    result: Any = predicate()
    while not result:
        # In this order, or a change in between would be slept through.
        epoch = changing._announce()  # pyright: ignore[reportPrivateUsage]
        result = predicate()
        if result or not changing._sleep(epoch, end):  # pyright: ignore[reportPrivateUsage]
            break
    return result  # type: ignore[no-any-return]
