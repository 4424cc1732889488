"""StdoutOutput: bytes that go to standard output."""

from __future__ import annotations

import sys
from typing import BinaryIO

__all__ = ["StdoutOutput"]


class StdoutOutput:
    """Standard output, behind what the program itself has printed.

    Raises:
        OSError: there is none.
    """

    def __init__(self) -> None:
        if sys.stdout is None:  # pyright: ignore[reportUnnecessaryComparison]
            raise OSError("there is no standard output to write to")
        sys.stdout.flush()
        self._file: BinaryIO = sys.stdout.buffer

    def write(self, data: bytes, /) -> None:
        """Add bytes."""
        self._file.write(data)

    def tell(self) -> int:
        """0: what others write there does not count."""
        return 0

    def flush(self, durable: bool) -> None:
        """Hand all of them to the system."""
        self._file.flush()

    def publish(self) -> None:
        """They are where they go already."""
        self._file.flush()

    def abandon(self) -> None:
        """They are where they go already."""
        self._file.flush()
