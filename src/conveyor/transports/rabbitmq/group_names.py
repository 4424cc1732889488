"""What the queues of a group of a topic are called."""

from __future__ import annotations

from hashlib import sha256
from urllib.parse import quote

from .lease_marker import marker_queue

__all__ = ["dead_letters_of", "queue_of"]

_QUEUE, _DEAD = "conveyor.group.", "conveyor.dead."
_LONGEST = 255 - len(marker_queue(_QUEUE))  # AMQP's names of queues have a byte for their length


def queue_of(topic: str, group: str) -> str:
    """The queue with the events that the group has not had yet."""
    return f"{_QUEUE}{_both(topic, group)}"


def dead_letters_of(topic: str, group: str) -> str:
    """The queue with what was set aside of the group."""
    return f"{_DEAD}{_both(topic, group)}"


def _both(topic: str, group: str) -> str:
    # Either may have dots in it, and no two pairs may be one name.
    both = f"{quote(topic, safe=' ')}/{quote(group, safe=' ')}"
    # "=" is what no name of others has in it: it is quoted there.
    return both if len(both) <= _LONGEST else f"=={sha256(both.encode()).hexdigest()}"
