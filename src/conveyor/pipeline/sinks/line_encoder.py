"""LineEncoder: a line for each value."""

from __future__ import annotations

from typing import Any

from .json_text import json_text

__all__ = ["LineEncoder", "line_of"]


class LineEncoder:
    """A line for each value: text and bytes as they are, anything else as JSON."""

    memory = None

    def encode(self, values: list[Any]) -> bytes:
        """The lines of some values.

        Raises:
            TypeError: one of them is nothing that has a line.
        """
        return b"".join(line_of(value) + b"\n" for value in values)

    def end(self) -> bytes:
        """Nothing."""
        return b""


def line_of(value: Any) -> bytes:
    """A value without its newline.

    Raises:
        TypeError: it has no line.
    """
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape")
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)  # pyright: ignore[reportUnknownArgumentType]
    return json_text(value)
