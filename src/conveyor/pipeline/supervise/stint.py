"""Stint: what a worker is at, as far as that may take only so long."""

from __future__ import annotations

from enum import Enum

__all__ = ["Stint"]


class Stint(Enum):
    """What a worker is at."""

    SETUP = "setup"
    ITEM = "item"
    TEARDOWN = "teardown"
    LEAVING = "leaving"
