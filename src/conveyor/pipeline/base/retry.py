"""Retry: the decision that an item which failed is to be tried again."""

from __future__ import annotations

from dataclasses import dataclass

from .failure import Failure

__all__ = ["Retry"]


@dataclass(frozen=True, slots=True)
class Retry:
    """An item is to be tried again."""

    failure: Failure
    """What it failed with, and how often by now."""
    seconds: float
    """Not before so long."""
