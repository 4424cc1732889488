"""Reading: how far several files have been read, and each of them opened, decompressed, and closed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from typing import Any, BinaryIO

from .address import name_of_file
from .compression import compression_of, decompressed, told_by_bytes
from .location import Location

__all__ = ["Reading"]

_LOOK = 16


class Reading:
    """How far files have been read, in bytes as they lie there: of compressed ones, compressed bytes.

    Args:
        locations: the files.
    """

    def __init__(self, locations: tuple[Location, ...]) -> None:
        sizes = [location.size() for location in locations]
        self._sizes = dict(zip(locations, sizes, strict=True))
        known = [size for size in sizes if size is not None]
        self.bytes_total: int | None = sum(known) if len(known) == len(sizes) else None
        """Bytes of all files; None: not known."""
        self._before = 0
        self._now: Callable[[], int] = int

    @property
    def bytes_read(self) -> int:
        """Bytes so far; may be asked in any thread."""
        try:
            return self._before + self._now()
        except (ValueError, OSError):  # it is being closed
            return self._before

    def size_of(self, location: Location) -> int | None:
        """Bytes of one of the files; None: not known."""
        return self._sizes[location]

    @contextlib.contextmanager
    def measured(self, location: Location, now: Callable[[], int]) -> Generator[None, None, None]:
        """While this is entered, a file is being read.

        Args:
            location: the file.
            now: how many of its bytes have been.
        """
        self._now = now
        try:
            yield
        finally:
            self._now = int
            self._before += self._sizes[location] or 0

    @contextlib.contextmanager
    def opened(self, location: Location) -> Generator[BinaryIO, None, None]:
        """What a file holds, decompressed.

        Raises:
            OSError, ImportError: it cannot be read.
        """
        with contextlib.ExitStack() as closing:
            file = closing.enter_context(location.open())
            raw: Any = getattr(file, "raw", file)
            kind, _ = compression_of(name_of_file(location.address))
            if not kind and (peek := getattr(file, "peek", None)) is not None:
                kind = told_by_bytes(peek(_LOOK)[:_LOOK])
            held = decompressed(file, kind)
            if held is not file:
                closing.callback(held.close)
            with self.measured(location, raw.tell):
                yield held
