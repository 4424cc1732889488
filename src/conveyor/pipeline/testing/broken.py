"""Broken: a run does not keep one of its promises."""

from __future__ import annotations

__all__ = ["Broken"]


class Broken(AssertionError):
    """What a simulated run's scheduler knows does not fit together; the text says what."""
