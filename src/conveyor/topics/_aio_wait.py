"""How coroutines wait for a topic: a thread sleeps for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .._memory.waiter import deadline_after, wait_in_thread, wake_waiting

if TYPE_CHECKING:
    from .._native import TopicChannel

# A subscriber may have gone on before anybody waited, and nobody tells of an array that is let go: as who waits in
# `publish` does, the coroutines try again now and then.
_LOOK_SECONDS = 0.02

__all__ = ["deadline_after", "wait_for_event", "wait_for_room", "wake_for_event"]


async def wait_for_event(
    channel: TopicChannel[Any], position: int, deadline: float | None, over: Callable[[], bool]
) -> bool:
    """Wait until there is something behind `position` of the log, or the end, or `over()`; False at the deadline."""
    whose = channel._region.identity
    return await wait_in_thread("event", whose, channel._wait_event, position, deadline, over)


def wake_for_event(channel: TopicChannel[Any]) -> None:
    """Have all coroutines that wait for an event look again: a subscription is over."""
    wake_waiting("event", channel._region.identity)


async def wait_for_room(channel: TopicChannel[Any], deadline: float | None) -> bool:
    """Wait until there may be room, or the end; False at the deadline."""
    whose = channel._region.identity

    def look(_amount: int, _seconds: float) -> bool:
        channel._wait_room(_LOOK_SECONDS)
        return True

    return await wait_in_thread("room", whose, look, 0, deadline)
