"""Stranded: a new worker process cannot have what it is to do."""

from __future__ import annotations

__all__ = ["Stranded"]


class Stranded(Exception):
    """Why, and what to do about it, as the end of a sentence that begins with the stage. Its cause, if it has one, is
    what was raised."""
