"""SQLite and fork: no connection is carried into a child, and none is forked in the middle of something.

SQLite's locks are the process's, and what it knows of them lies in its memory: a child that has a copy of that would
think that it holds locks which its parent has. So before a fork this waits until no connection of ours is in use, and
in the child it closes them all, so that new ones can be opened.
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import Protocol

__all__ = ["Forkable", "watch"]


class Forkable(Protocol):
    """What has a connection."""

    in_use: threading.Lock
    """Held while it is used."""

    def close_in_child(self) -> None:
        """Close the copy of the parent's connection."""
        ...


_all: weakref.WeakSet[Forkable] = weakref.WeakSet()
_held: list[Forkable] = []


def watch(one: Forkable) -> None:
    """Look after this one at forks."""
    _all.add(one)


def _before() -> None:
    # In one order, in every thread that forks; each is held for a statement or two.
    for one in sorted(_all, key=id):
        one.in_use.acquire()
        _held.append(one)


def _in_parent() -> None:
    while _held:
        _held.pop().in_use.release()


def _in_child() -> None:
    while _held:
        one = _held.pop()
        one.in_use.release()
        one.close_in_child()


os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
