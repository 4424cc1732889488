"""Items from one queue to another, on any transport, at least once: leased, put, and acknowledged when they are in."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ..errors import Empty, LeaseLost, ShutDown

__all__ = ["Moved", "move_items"]

_PORTION = 100


@dataclass(slots=True)
class Moved:
    """What came of it."""

    moved: int = 0
    kept: int = 0
    """Looked at, and not meant."""


def _all(item: Any) -> bool:
    return True


def _itself(item: Any) -> Any:
    return item


def move_items(
    source: Any,
    target: Any,
    most: int,
    timeout: float | None,
    meant: Callable[[Any], bool] = _all,
    unwrapped: Callable[[Any], Any] = _itself,
) -> Moved:
    """Move what waits now, and no more: each item is looked at once.

    What is not meant goes back to where it was, and no attempt is counted, where the broker allows that.

    Args:
        source: the queue that they are in.
        target: the queue that they are put into.
        most: how many at most.
        timeout: seconds to wait for room, for each portion; None: for ever.
        meant: which are to be moved.
        unwrapped: makes of an item what is put.

    Raises:
        Exception: what `put_many` raises. What was put is moved; its `items_moved` says how many.
    """
    moved = Moved()
    left: int = source.qsize()
    kept: list[Any] = []
    try:
        while left > 0 and moved.moved < most:
            # As many as may still be moved: what is not looked at is not leased either.
            portion = min(left, _PORTION, most - moved.moved)
            try:
                leases = source.lease_many(portion, timeout=0)
            except (Empty, ShutDown):
                break
            left -= len(leases)
            chosen: list[Any] = []
            for lease in leases:
                (chosen if meant(lease.item) else kept).append(lease)
            moved.kept = len(kept)
            done = 0
            try:
                target.put_many([unwrapped(lease.item) for lease in chosen], timeout=timeout)
                done = len(chosen)
            except BaseException as error:
                done = getattr(error, "items_put", 0)
                error.items_moved = moved.moved + done  # type: ignore[attr-defined]
                kept += chosen[done:]
                raise
            finally:
                if done == len(leases):
                    leases.acknowledge()
                else:
                    for lease in chosen[:done]:
                        lease.acknowledge()
                moved.moved += done
    finally:
        _put_back(kept, not getattr(source, "counts_deliveries", False))
    return moved


def _put_back(leases: Iterable[Any], uncounted: bool) -> None:
    # The last one first: on some brokers what comes back stands in front of what came back before.
    for lease in reversed(list(leases)):
        with suppress(LeaseLost):  # it is there again already
            lease.release(counted=not uncounted)
