"""What librdkafka's objects are in a forked child: their threads are not there, so they may never be ended."""

from __future__ import annotations

import ctypes
import weakref
from typing import Any

__all__ = ["outlive_all", "outlives_forks"]

_owners: weakref.WeakSet[Any] = weakref.WeakSet()


def outlives_forks(owner: Any) -> None:
    """A child keeps `owner`, and all that it refers to, until its own end."""
    _owners.add(owner)


def outlive_all() -> None:
    """This is a forked child: collecting one of them, now or at the end of the interpreter, would wait for ever."""
    for owner in list(_owners):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(owner))
    _owners.clear()
