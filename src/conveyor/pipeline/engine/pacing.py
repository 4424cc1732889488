"""What makes quick items quick: when to sleep in spite of results, and when to look for them without sleeping."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..operators.source import SourceNode
from ..operators.work import WorkNode
from ..supervise.handle import Hand

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
        for hand in node.crew.hands:
            if not hand.ready:
                continue
            if not hand.outstanding:
                nap = min(nap, _NAP_WHEN_IDLE)
                continue
            if hand.outstanding < _NAP_ITEMS or hand.seconds is None or not hand.tells_again:
                return 0
            if hand.finished < _TELLING_ITEMS:
                return 0
            if hand.is_silent(now, _NAP_SECONDS):
                return 0  # it is at an item that takes longer: its result wakes us
            busy = True
            # What a worker took for its first items is no more than a hint.
            nap = min(nap, hand.outstanding * hand.seconds / 2, (now - hand.ready_at) * _NAP_PER_AGE)
    return nap if busy and nap > _NAP_LEAST else 0


def take_quickly(
    works: list[WorkNode], sources: list[SourceNode], spin: Callable[[list[Any], float], bool]
) -> bool:
    """Take what comes at once, before everything else is looked at: lone items should not wait for that."""
    ready = [node for node in sources if node.channel is not None and node.wants_input]
    hands: list[tuple[WorkNode, Hand]] = []
    for node in works:
        if node.choked:
            continue
        for hand in node.crew.hands:
            if not hand.outstanding or hand.channel is None or not node.listens_to(hand):
                continue
            if hand.outstanding >= _SPIN_ITEMS or hand.seconds is None or hand.seconds > _SPIN_ITEM_SECONDS:
                return False
            hands.append((node, hand))
    channels: list[Any] = [hand.channel for _, hand in hands]
    channels += [node.channel for node in ready]
    if not channels or not spin(channels, SPIN_SECONDS):
        return False
    for node, hand in hands:
        if hand.has_results():
            node.collect({hand.token})
    for source in ready:
        source.read()
    return True
