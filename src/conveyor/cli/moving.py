"""Items from one queue to another, at least once: leased, put, and acknowledged when they are in."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

from .item_lines import ItemLines

__all__ = ["Choice", "Moved", "move_items", "would_move"]

_PORTION = 100


@dataclass(frozen=True, slots=True)
class Choice:
    """Which items are meant."""

    match: str | None = None
    """Only those whose text, or JSON, has this in it."""
    error: str | None = None
    """Only dead letters whose error has this in it."""
    letters_only: bool = False
    """Only dead letters whose item could be read."""

    def takes_all(self) -> bool:
        """Whether all are meant."""
        return self.match is None and self.error is None and not self.letters_only

    def __call__(self, item: Any) -> bool:
        """Whether this one is meant."""
        letter = _letter(item)
        if self.letters_only and (letter is None or letter.raw is not None):
            return False
        if self.error is not None and (letter is None or self.error not in letter.error):
            return False
        content = item if letter is None else letter.item
        return self.match is None or self.match in ItemLines(False).text(content)


@dataclass(slots=True)
class Moved:
    """What came of it."""

    moved: int = 0
    kept: int = 0
    """Looked at, and not meant."""


def would_move(source: Any, choice: Choice, most: int) -> Moved:
    """What `move_items` would do now; looks only."""
    waiting: int = source.qsize()
    if choice.takes_all():
        return Moved(min(waiting, most))
    if not waiting:
        return Moved()
    found = sum(map(choice, source.peek(waiting)))
    return Moved(min(found, most), waiting - found)


def move_items(
    source: Any,
    target: Any,
    choice: Choice,
    most: int,
    timeout: float | None,
    unwrapped: Callable[[Any], Any] = lambda item: item,
) -> Moved:
    """Move what waits now, and no more: each item is looked at once.

    What is not meant goes back to where it was, and no attempt is counted.

    Args:
        source: the queue that they are in.
        target: the queue that they are put into.
        choice: which are meant.
        most: how many at most.
        timeout: seconds to wait for room, for each portion; None: for ever.
        unwrapped: makes of an item what is put.

    Raises:
        Exception: what `put_many` raises. What was put is moved; its `items_moved` says how many.
    """
    from .. import Empty, ShutDown

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
            meant = [lease for lease in leases if choice(lease.item)]
            kept += [lease for lease in leases if not choice(lease.item)]
            moved.kept = len(kept)
            done = 0
            try:
                target.put_many([unwrapped(lease.item) for lease in meant], timeout=timeout)
                done = len(meant)
            except BaseException as error:
                done = getattr(error, "items_put", 0)
                error.items_moved = moved.moved + done  # type: ignore[attr-defined]
                kept += meant[done:]
                raise
            finally:
                if done == len(leases):
                    leases.acknowledge()
                else:
                    for lease in meant[:done]:
                        lease.acknowledge()
                moved.moved += done
    finally:
        _put_back(kept, not getattr(source, "counts_deliveries", False))
    return moved


def _letter(item: object) -> Any:
    """The item, if it is a dead letter; else None."""
    from .. import DeadLetter

    return cast("Any", item) if isinstance(item, DeadLetter) else None


def _put_back(leases: Iterable[Any], uncounted: bool) -> None:
    from .. import LeaseLost

    for lease in leases:
        with suppress(LeaseLost):  # it is there again already
            lease.release(counted=not uncounted)
