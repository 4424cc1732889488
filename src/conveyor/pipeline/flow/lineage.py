"""Lineage: the origins of a list that a step made of several values."""

from __future__ import annotations

from typing import Any

__all__ = ["Lineage"]


class Lineage:
    """Stands for many origins, so that what becomes of the list is not counted for each of them.

    Args:
        origins: of the values in the list; bundles among them if they were lists themselves.
    """

    __slots__ = ("live", "origins")

    def __init__(self, origins: list[Any]) -> None:
        self.origins = origins
        self.live = 1
        """Values that came of the list and are still under way."""
