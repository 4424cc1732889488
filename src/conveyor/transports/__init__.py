"""Queues by URL: one file for each transport, chosen by the URL's scheme."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from ..codecs import Codec
    from ..queue import Queue

__all__ = ["connect", "name_in", "remove"]


def _parse(url: str) -> str:
    if any(character in url for character in "\t\r\n"):  # urlsplit would drop them in silence
        raise ValueError(f"url is {url!r}; it must have no tab and no line end")
    parts = urlsplit(url)
    if parts.scheme != "shm":
        raise ValueError(
            f"url is {url!r}; its scheme must be 'shm', as in 'shm://name' (got {parts.scheme or 'none'!r})"
        )
    name = parts.netloc + parts.path
    if parts.query or parts.fragment:
        raise ValueError(f"url is {url!r}; options go into keyword arguments, not behind '?' or '#'")
    return name


def name_in(url: str) -> str:
    """The name of the queue at `url`.

    Raises:
        ValueError: the URL is not one of ours.
    """
    from . import shm

    return shm.checked_name(_parse(url))


def connect(
    url: str,
    *,
    create: bool | None = None,
    maxsize: int = 0,
    max_bytes: int | None = None,
    codec: str | Codec = "auto",
    lease_seconds: float | None = None,
    max_attempts: int | None = None,
    dead_letters: Any = None,
) -> Queue[Any]:
    """The named queue at `url`, shared by unrelated processes of the same user.

    It lives until `remove(url)`, across processes and without any, but not across a reboot.

    Args:
        url: `shm://name`; the name has letters, digits, '.', '_' and '-'.
        create: True: make it, it must not exist; False: it must exist; None: make it if need be.
        maxsize: items that may wait, if it is made now; 0: no bound. An existing queue keeps its own.
        max_bytes: bytes of pickled items that may wait, if it is made now; None: no bound.
        codec: how items become bytes, as for `Queue`; all who connect must name the same one.
        lease_seconds, max_attempts: as for `Queue`, if it is made now.
        dead_letters: a queue for what failed too often; it concerns this handle only.

    Raises:
        FileExistsError, FileNotFoundError: as `create` demands.
        PermissionError: the queue belongs to another user or another pid namespace.
        CorruptSegment, VersionMismatch: what lies at that name is no sound queue of this version.
        ValueError: the URL is not one of ours.
    """
    from . import shm

    return shm.connect(
        _parse(url),
        create=create,
        maxsize=maxsize,
        max_bytes=max_bytes,
        codec=codec,
        lease_seconds=lease_seconds,
        max_attempts=max_attempts,
        dead_letters=dead_letters,
    )


def remove(url: str) -> None:
    """Remove the named queue at `url`, with what waits in it.

    Processes that are attached to it go on with it; its memory is freed when the last one leaves.

    Raises:
        FileNotFoundError: there is none.
    """
    from . import shm

    shm.remove(_parse(url))
