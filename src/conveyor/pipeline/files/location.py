"""Location: one file to be read, on this machine, at a URL that fsspec knows, or what comes from standard input."""

from __future__ import annotations

import io
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from .optional import need

__all__ = ["STDIN", "Location", "digest", "remote"]

_BLOCK = 64 * 1024
STDIN = "-"


@dataclass(frozen=True, slots=True)
class Location:
    """A file to be read.

    Args:
        address: a URL, or "-" for standard input; of a path, the path as text.
        path: where it is on this machine; None: elsewhere.
    """

    address: str
    path: Path | None = None

    @property
    def is_stdin(self) -> bool:
        """Whether it is standard input, which is read once."""
        return self.path is None and self.address == STDIN

    @property
    def shown(self) -> str:
        """What errors call it."""
        return "standard input" if self.is_stdin else self.address

    def open(self) -> BinaryIO:
        """Its bytes, as they lie there, through a buffer.

        Raises:
            OSError: it cannot be read.
            ImportError: it is at a URL, and fsspec, or what it needs for that, is not installed.
        """
        if self.path is not None:
            return self.path.open("rb")
        if self.is_stdin:
            return _stdin()
        system, name = remote(self.address)
        return io.BufferedReader(system.open(name, "rb"), _BLOCK)

    def check(self) -> None:
        """It can be opened, as far as that shows at once.

        Raises:
            OSError, ImportError: as of `open`.
        """
        if self.path is not None:
            with self.path.open("rb"):
                pass
        elif not self.is_stdin:
            system, name = remote(self.address)
            if not system.exists(name):
                raise FileNotFoundError(f"there is no file {self.address!r}")

    def size(self) -> int | None:
        """Bytes, if that is known."""
        try:
            if self.path is not None:
                return self.path.stat().st_size
            if self.is_stdin:
                return None
            system, name = remote(self.address)
            found = system.size(name)
        except OSError:
            return None
        return int(found) if isinstance(found, int) else None

    def identity(self) -> str:
        """Which file it is and what it holds: its size, and its first and last 64 KiB, or what a server says of it."""
        if self.path is None:
            system, name = remote(self.address)
            try:
                mark = str(system.ukey(name))
            except (NotImplementedError, AttributeError):
                mark = ""
            return f"{self.address}, {self.size()} bytes ({digest(mark.encode())})"
        with self.path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(0)
            data = file.read(_BLOCK)
            file.seek(max(size - _BLOCK, 0))
            data += file.read(_BLOCK)
        return f"{self.path.resolve()}, {size:,} bytes ({digest(data)})"


def remote(address: str) -> tuple[Any, str]:
    """The file system that a URL is of, and what the file is called there.

    Raises:
        ImportError: fsspec, or what it needs for that, is not installed.
        ValueError: nobody knows the scheme.
    """
    fsspec = need("fsspec", "files", address)
    system, name = fsspec.core.url_to_fs(address)
    return system, str(name)


def digest(data: bytes) -> str:
    """A few characters that differ where the data differs."""
    import hashlib  # takes long, and most runs have no use for it

    return hashlib.sha256(data, usedforsecurity=False).hexdigest()[:12]


def _stdin() -> BinaryIO:
    given = sys.stdin
    if given is None:  # pyright: ignore[reportUnnecessaryComparison]
        raise OSError("there is no standard input to read from")
    try:
        fd = given.fileno()
    except (OSError, ValueError, AttributeError):
        return given.buffer  # a program has put something of its own there
    # With a buffer of its own: a thread that waits in that of `sys.stdin` would keep the interpreter from ending.
    return open(fd, "rb", closefd=False)
