"""Stuck: a run does not end."""

from __future__ import annotations

__all__ = ["Stuck"]


class Stuck(AssertionError):
    """A simulated run waits, and nothing that it could wait for will come."""
