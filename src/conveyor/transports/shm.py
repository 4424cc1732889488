"""Named queues and topics in shared memory: a file under /dev/shm, mode 0600."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from .._memory.labels import mark
from .._memory.names import checked_name, is_name
from .._memory.open_or_create import open_or_create
from .._native import Segment
from ..errors import NotSupported
from ..queues._options import checked_bounds, checked_codec, checked_lease
from ..queues.queue import Queue
from .registry import SHM, scheme_of
from .url import KINDS, masked

if TYPE_CHECKING:
    from .._memory.devices import Cuda
    from ..codecs import Codec
    from ..topics.topic import Topic

__all__ = ["checked_name", "connect", "connect_topic", "is_name", "name_in", "parse", "remove"]


def parse(url: str) -> tuple[str, str | None]:
    """The name in a URL shm://..., and the kind of what it names, if it says it."""
    if any(character in url for character in "\t\r\n"):  # urlsplit would drop them in silence
        raise ValueError(f"url is {url!r}; it must have no tab and no line end")
    parts = urlsplit(url)
    name = parts.netloc + parts.path
    kind = parts.query.removeprefix("kind=")
    if kind.partition("&")[0] == "group":
        raise NotSupported(
            f"{url}: topics in shared memory have no groups; let one process put the events into a queue that the "
            "others share, or use a broker"
        )
    if kind in KINDS and parts.query == f"kind={kind}" and not parts.fragment:
        return name, kind
    if parts.query or parts.fragment:
        raise ValueError(
            f"url is {url!r}; behind '?' only kind=queue or kind=topic may stand, other options go into "
            "keyword arguments"
        )
    return name, None


def name_in(url: str) -> str:
    """The name of the queue in shared memory at `url`.

    Raises:
        ValueError: the URL is none of shm://.
    """
    if scheme_of(url) != SHM:
        raise ValueError(f"url is {masked(url)!r}; it must be one of shared memory, as in 'shm://name'")
    return checked_name(parse(url)[0])


def _segment(name: str, create: bool | None, *bounds: Any) -> Segment:
    segment, _ = open_or_create(
        create, lambda: Segment.open_named(name), lambda: mark(Segment.create_named(name, *bounds))
    )
    return segment


def connect(
    name: str,
    create: bool | None,
    *,
    maxsize: int,
    max_bytes: int | None,
    codec: str | Codec,
    lease_seconds: float | None,
    max_attempts: int | None,
    dead_letters: Any,
    cuda: Cuda | None,
) -> Queue[Any]:
    """The queue of that name; see `conveyor.connect`."""
    items, size = checked_bounds(maxsize, max_bytes)
    attempts, seconds = checked_lease(lease_seconds, max_attempts)
    codec = checked_codec(codec, cuda)
    segment = _segment(checked_name(name), create, items, size, attempts, seconds)
    return Queue.on_segment(segment, codec, dead_letters)


def connect_topic(
    name: str, create: bool | None, max_bytes: int | None, keep: int | None, cuda: Cuda | None
) -> Topic[Any]:
    """The topic of that name; see `conveyor.connect`."""
    from ..topics.topic import DEFAULT_BYTES, open_topic

    return open_topic(name, create, DEFAULT_BYTES if max_bytes is None else max_bytes, keep, cuda)


def remove(name: str) -> None:
    """Remove the queue of that name; see `conveyor.remove`."""
    Segment.remove_named(checked_name(name))
