"""A script in the server."""

from __future__ import annotations

import hashlib

__all__ = ["Script"]


class Script:
    """Lua that the server runs as one step."""

    __slots__ = ("digest", "text")

    def __init__(self, *parts: str) -> None:
        self.text = "\n".join(parts)
        self.digest = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()
        """What the server knows it by."""
