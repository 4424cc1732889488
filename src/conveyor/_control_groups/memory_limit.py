"""MemoryLimit: what a control group lets its processes have."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["MemoryLimit"]


class MemoryLimit(NamedTuple):
    """Bytes, of those of all processes in the group. Shared memory counts, too."""

    limit: int
    used: int

    @property
    def left(self) -> int:
        """Bytes that may still be used; below 0 if the limit was lowered."""
        return self.limit - self.used
