"""FileSink: writes a line for each value to an open file."""

from __future__ import annotations

import io
from typing import Any

from .line_encoder import line_of
from .sink import PlainSink

__all__ = ["FileSink"]


class FileSink(PlainSink):
    """Writes each value on a line: text and bytes as they are, anything else as JSON.

    Args:
        file: open for writing, which it stays.
    """

    def __init__(self, file: Any) -> None:
        self._file = file
        self._binary = isinstance(file, (io.RawIOBase, io.BufferedIOBase)) or "b" in str(
            getattr(file, "mode", "")
        )

    def take(self, values: list[Any]) -> int:
        """Take all."""
        if self._binary:
            self._file.write(b"".join(line_of(value) + b"\n" for value in values))
        else:
            self._file.write(
                "".join(line_of(value).decode("utf-8", "surrogateescape") + "\n" for value in values)
            )
        return len(values)

    def flush(self) -> None:
        """Hand what was written to the system."""
        self._file.flush()

    def close(self) -> None:
        """It stays open."""
        self._file.flush()
