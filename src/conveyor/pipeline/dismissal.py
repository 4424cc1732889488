"""How the workers of a run leave when all is done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from multiprocessing.connection import wait as wait_for_sentinels
from time import monotonic

from .events import Event, WorkerStuck
from .process_hand import ProcessHand
from .watch import Watch
from .work_node import WorkNode

__all__ = ["dismiss"]

_DISMISS_SECONDS = 5.0


def dismiss(works: list[WorkNode], watch: Watch, is_stopped: Callable[[], bool]) -> Iterator[Event]:
    """Have all workers leave; those that do not in good time are killed."""
    for node in works:
        node.crew.dismiss_all()
    until = monotonic() + _DISMISS_SECONDS
    while not is_stopped():
        for node in works:
            node.crew.remove_gone()
        hands = [hand for node in works for hand in node.crew.hands]
        if not hands:
            return
        left = until - monotonic()
        if left <= 0:
            for hand in hands:
                yield WorkerStuck(hand.pid, _DISMISS_SECONDS)
            return
        processes = [hand.sentinel for hand in hands if isinstance(hand, ProcessHand)]
        if processes:
            wait_for_sentinels(processes, min(left, 0.1))
        else:
            watch.wait(0.005)
