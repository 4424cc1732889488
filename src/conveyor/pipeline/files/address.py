"""What a string that names a file is: a path, or a URL, and whose."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ...errors import PipelineError

__all__ = ["local_path", "name_of_file", "refuse_queue", "scheme_of", "without_password"]

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)(?:::[^/]*)?://")
# Addresses of queues and topics. `memory://` may be either: it is taken for a file of fsspec's.
_OF_QUEUES = frozenset({"amqp", "amqps", "kafka", "nats", "redis", "rediss", "shm", "sqlite", "tls"})


def scheme_of(address: str) -> str:
    """The scheme of a URL, in lower case; empty: it is a path."""
    found = _SCHEME.match(address)
    if found is not None:
        return found[1].lower()
    return "sqlite" if address.lower().startswith("sqlite:") else ""


def local_path(address: str | os.PathLike[str]) -> Path | None:
    """The path that it stands for; None: it is a URL of something else than a file of this machine."""
    text = os.fspath(address)
    scheme = scheme_of(text)
    if not scheme:
        return Path(text)
    if scheme == "file" and "::" not in text:
        parts = urlsplit(text)
        if parts.netloc in ("", "localhost"):
            return Path(unquote(parts.path))
    return None


def name_of_file(address: str) -> str:
    """The part of it that has the suffixes."""
    if scheme_of(address):
        address = address.partition("?")[0].rpartition("::")[2]
    return address.rpartition("/")[2]


def without_password(address: str) -> str:
    """As it may be shown."""
    if not scheme_of(address):
        return address
    from ...transports.url import masked  # takes long, and most runs have no URLs

    return masked(address)


def refuse_queue(address: str, verb: str) -> None:
    """Nothing, unless it is the address of a queue.

    Args:
        address: what was given.
        verb: what was to be done with it, as in "read from".

    Raises:
        PipelineError: it is.
    """
    scheme = scheme_of(address)
    if scheme in _OF_QUEUES:
        shown = without_password(address)
        raise PipelineError(
            f"{shown!r} is no file: {scheme}:// is where queues are; to {verb} one give conveyor.connect({shown!r})"
            + ("; for a table say sqlite:///file.db?table=name" if scheme == "sqlite" else "")
        )
