"""How coroutines wait for a topic: a thread sleeps for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._waiter import deadline_after, wait_in_thread

if TYPE_CHECKING:
    from ._native import TopicChannel

__all__ = ["deadline_after", "wait_for_event", "wait_for_room"]


async def wait_for_event(channel: TopicChannel[Any], position: int, deadline: float | None) -> bool:
    """Wait until there is something behind `position` of the log, or the end; False at the deadline."""
    whose = channel._region.identity
    return await wait_in_thread("event", whose, channel._wait_event, position, deadline)


async def wait_for_room(channel: TopicChannel[Any], deadline: float | None) -> bool:
    """Wait until a subscriber that blocks has gone on, or the end; False at the deadline."""
    whose = channel._region.identity
    return await wait_in_thread("room", whose, lambda _, seconds: channel._wait_room(seconds), 0, deadline)
