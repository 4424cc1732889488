"""Queues and topics by URL: one file for each transport, chosen by the URL's scheme."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from ..codecs import Codec
    from ..queue import Queue
    from ..topic import Topic

__all__ = ["connect", "name_in", "remove"]
__dir__ = __all__.copy


_KINDS = ("queue", "topic")


def _parse(url: str) -> str:
    return _parse_kind(url)[0]


def _parse_kind(url: str) -> tuple[str, str]:
    """The name, and the kind of what it names; that is empty if the URL does not say it."""
    if any(character in url for character in "\t\r\n"):  # urlsplit would drop them in silence
        raise ValueError(f"url is {url!r}; it must have no tab and no line end")
    parts = urlsplit(url)
    if parts.scheme != "shm":
        raise ValueError(
            f"url is {url!r}; its scheme must be 'shm', as in 'shm://name' (got {parts.scheme or 'none'!r})"
        )
    name = parts.netloc + parts.path
    kind = parts.query.removeprefix("kind=")
    if kind in _KINDS and parts.query == f"kind={kind}" and not parts.fragment:
        return name, kind
    if parts.query or parts.fragment:
        raise ValueError(
            f"url is {url!r}; behind '?' only kind=queue or kind=topic may stand, other options go into "
            "keyword arguments"
        )
    return name, ""


def name_in(url: str) -> str:
    """The name of the queue at `url`.

    Raises:
        ValueError: the URL is not one of ours.
    """
    from . import shm

    return shm.checked_name(_parse(url))


@overload
def connect(
    url: str,
    *,
    kind: Literal["topic"],
    create: bool | None = None,
    max_bytes: int | None = None,
    keep: int | None = None,
) -> Topic[Any]: ...
@overload
def connect(
    url: str,
    *,
    kind: Literal["queue"] | None = None,
    create: bool | None = None,
    maxsize: int = 0,
    max_bytes: int | None = None,
    codec: str | Codec = "auto",
    lease_seconds: float | None = None,
    max_attempts: int | None = None,
    dead_letters: Any = None,
) -> Queue[Any]: ...
def connect(
    url: str,
    *,
    kind: Literal["queue", "topic"] | None = None,
    create: bool | None = None,
    maxsize: int = 0,
    max_bytes: int | None = None,
    codec: str | Codec = "auto",
    lease_seconds: float | None = None,
    max_attempts: int | None = None,
    dead_letters: Any = None,
    keep: int | None = None,
) -> Queue[Any] | Topic[Any]:
    """The named queue or topic at `url`, shared by unrelated processes of the same user.

    It lives until `remove(url)`, across processes and without any, but not across a reboot.

    Args:
        url: `shm://name`; the name has letters, digits, '.', '_' and '-'. `shm://name?kind=topic` is a topic.
        kind: "queue" or "topic": the same as in the URL, where type checkers see it.
        create: True: make it, it must not exist; False: it must exist; None: make it if need be.
        maxsize: items that may wait, if it is made now; 0: no bound. An existing queue keeps its own.
        max_bytes: bytes of pickled items that may wait, if it is made now; None: no bound.
        codec: how items become bytes, as for `Queue`; all who connect must name the same one.
        lease_seconds, max_attempts: as for `Queue`, if it is made now.
        dead_letters: a queue for what failed too often; it concerns this handle only.
        keep: as for `Topic`, if it is made now. A topic has this, `create` and `max_bytes` of all these.

    Raises:
        FileExistsError, FileNotFoundError: as `create` demands.
        PermissionError: the queue belongs to another user or another pid namespace.
        CorruptSegment, VersionMismatch: what lies at that name is no sound queue of this version.
        WrongKind: it is a topic and no queue, or the reverse.
        ValueError: the URL is not one of ours, or an argument is not for this kind.
    """
    from . import shm

    name, in_url = _parse_kind(url)
    if kind is not None and (kind not in _KINDS or (in_url or kind) != kind):
        raise ValueError(f"kind is {kind!r}; it must be 'queue' or 'topic', and what the URL says ({url!r})")
    if (kind or in_url) == "topic":
        others = (maxsize, codec, lease_seconds, max_attempts, dead_letters)
        if others != (0, "auto", None, None, None):
            raise ValueError(f"{url!r} is a topic; it has create, max_bytes and keep, and no other options")
        return shm.connect_topic(name, create, max_bytes, keep)
    if keep is not None:
        raise ValueError(f"keep is {keep}; it is for topics, and {url!r} is a queue")
    return shm.connect(
        name,
        create=create,
        maxsize=maxsize,
        max_bytes=max_bytes,
        codec=codec,
        lease_seconds=lease_seconds,
        max_attempts=max_attempts,
        dead_letters=dead_letters,
    )


def remove(url: str) -> None:
    """Remove the named queue or topic at `url`, with what is in it.

    Processes that are attached to it go on with it; its memory is freed when the last one leaves.

    Raises:
        FileNotFoundError: there is none.
    """
    from . import shm

    shm.remove(_parse(url))
