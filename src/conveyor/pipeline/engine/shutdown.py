"""How the workers of a run leave when all is done, or when the run is over before that."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ..operators.work import WorkNode
from ..supervise.poller import Poller

__all__ = ["shut_down"]

_LOOK_SECONDS = 0.1
_LOOK_SOON_SECONDS = 0.005


def shut_down(
    works: list[WorkNode],
    poller: Poller,
    now: Callable[[], float],
    is_stopped: Callable[[], bool],
    cut_short: bool,
) -> Iterator[None]:
    """Have all workers tear down and leave. That may take as long as their stages allow; who takes longer is killed.

    Args:
        works: whose workers they are.
        poller: what is waited by.
        now: the time.
        is_stopped: whether to wait no longer.
        cut_short: they may be at items, which they finish only if that does not take long.

    Yields:
        After each look at them.
    """
    for node in works:
        if cut_short or node.abandoned:
            node.pool.cut_short()
        node.pool.shut_all_down()
    while not is_stopped():
        for node in works:
            node.pool.see_off(now())
        yield
        handles = [handle for node in works for handle in node.pool.handles]
        if not handles:
            return
        # A thread tells its last word a little before it is gone.
        soon = any(handle.left_at and not handle.pid for handle in handles)
        poller.wait(_LOOK_SOON_SECONDS if soon else _LOOK_SECONDS)
