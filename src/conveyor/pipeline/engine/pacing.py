"""What makes quick items quick: when to sleep in spite of results, and when to look for them without sleeping."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..operators.source import SourceNode
from ..operators.work import WorkNode
from ..supervise.handle import WorkerHandle

__all__ = ["SPIN_SECONDS", "nap", "take_quickly"]

# Results that come quickly are collected this often at most: waking up for each would cost the
# workers a system call an item.
_NAP_SECONDS = 0.02
_NAP_WHEN_IDLE = 0.002  # somebody may wait for them
_NAP_LEAST = 0.0002
_NAP_ITEMS = 4
_NAP_PER_AGE = 0.25
# What the first items in a new process take says little of those to come.
_TELLING_ITEMS = 8
# For quick items, looking for the result costs less than being woken by it.
SPIN_SECONDS = 60e-6
_SPIN_ITEM_SECONDS = 200e-6
_SPIN_ITEMS = 16


def nap(works: list[WorkNode], now: float) -> float:
    """Seconds until the first worker needs more, if results come in a stream; else 0."""
    nap = _NAP_SECONDS
    busy = False
    for node in works:
        for handle in node.pool.handles:
            if not handle.ready:
                continue
            if not handle.outstanding:
                nap = min(nap, _NAP_WHEN_IDLE)
                continue
            if handle.outstanding < _NAP_ITEMS or handle.seconds is None:
                return 0
            if handle.finished < _TELLING_ITEMS:
                return 0
            if handle.is_silent(now, _NAP_SECONDS):
                return 0  # it is at an item that takes longer: its result wakes us
            busy = True
            # What a worker took for its first items is no more than a hint.
            nap = min(nap, handle.outstanding * handle.seconds / 2, (now - handle.ready_at) * _NAP_PER_AGE)
    return nap if busy and nap > _NAP_LEAST else 0


def take_quickly(
    works: list[WorkNode], sources: list[SourceNode], spin: Callable[[list[Any], float], bool]
) -> bool:
    """Take what comes at once, before everything else is looked at: lone items should not wait for that."""
    ready = [node for node in sources if node.channel is not None and node.wants_input]
    handles: list[tuple[WorkNode, WorkerHandle]] = []
    for node in works:
        if node.blocked:
            continue
        for handle in node.pool.handles:
            if not handle.outstanding or handle.channel is None or not node.listens_to(handle):
                continue
            if (
                handle.outstanding >= _SPIN_ITEMS
                or handle.seconds is None
                or handle.seconds > _SPIN_ITEM_SECONDS
            ):
                return False
            handles.append((node, handle))
    channels: list[Any] = [handle.channel for _, handle in handles]
    channels += [node.channel for node in ready]
    if not channels or not spin(channels, SPIN_SECONDS):
        return False
    for node, handle in handles:
        if handle.has_results():
            node.collect({handle.token})
    for source in ready:
        source.read()
    return True
