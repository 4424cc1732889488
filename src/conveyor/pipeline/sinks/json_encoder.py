"""JsonEncoder: JSON on a line for each value."""

from __future__ import annotations

from typing import Any

from .json_text import json_text

__all__ = ["JsonEncoder"]


class JsonEncoder:
    """JSON on a line for each value, text included; bytes are taken for JSON already."""

    memory = None

    def encode(self, values: list[Any]) -> bytes:
        """The lines of some values.

        Raises:
            TypeError: one of them has no JSON.
        """
        return b"".join(
            (bytes(value).rstrip(b"\n") if isinstance(value, (bytes, bytearray)) else json_text(value))
            + b"\n"
            for value in values
        )

    def end(self) -> bytes:
        """Nothing."""
        return b""
