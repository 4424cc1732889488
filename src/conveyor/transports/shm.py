"""Named queues in shared memory: a file under /dev/shm, mode 0600."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from .._native import Segment
from ..queue import Queue, checked_bounds, checked_codec, checked_lease

if TYPE_CHECKING:
    from ..codecs import Codec

__all__ = ["checked_name", "connect", "is_name", "remove"]

# The longest file name is 255 bytes; the file's prefix and suffix need some of it.
# `.ready` is the suffix: of a queue named so, the file would be the descriptor of another.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}(?<!\.ready)")


def is_name(name: str) -> bool:
    """Whether a queue may have that name."""
    return _NAME.fullmatch(name) is not None


def checked_name(name: str) -> str:
    """The name, which is one that a queue may have.

    Raises:
        ValueError: it is not; the text says what would be.
    """
    if not is_name(name):
        raise ValueError(
            f"queue name is {name!r}; it must have 1 to 200 letters, digits, '.', '_' or '-', "
            "start with a letter, a digit or '_', and not end with '.ready'"
        )
    return name


def _segment(name: str, create: bool | None, *bounds: Any) -> Segment:
    if create:
        return Segment.create_named(name, *bounds)
    while True:
        try:
            return Segment.open_named(name)
        except FileNotFoundError:
            if create is False:
                raise
        try:
            return Segment.create_named(name, *bounds)
        except FileExistsError:
            continue  # somebody else made it in between


def connect(
    name: str,
    *,
    create: bool | None,
    maxsize: int,
    max_bytes: int | None,
    codec: str | Codec,
    lease_seconds: float | None,
    max_attempts: int | None,
    dead_letters: Any,
) -> Queue[Any]:
    """The queue of that name; see `conveyor.connect`."""
    items, size = checked_bounds(maxsize, max_bytes)
    attempts, seconds = checked_lease(lease_seconds, max_attempts)
    codec = checked_codec(codec)
    segment = _segment(checked_name(name), create, items, size, attempts, seconds)
    return Queue.on_segment(segment, codec, dead_letters)


def remove(name: str) -> None:
    """Remove the queue of that name; see `conveyor.remove`."""
    Segment.remove_named(checked_name(name))
