"""Imports that are under way in other threads when this one forks.

A module that is being imported has a lock, and the copy of the program would have it locked for ever, by a thread that
is not there, and the module half made. So a fork waits for the end of what is being imported; and where that takes too
long, the copy lets go of it, and imports it anew if it needs it.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from importlib import _bootstrap
from typing import Any
from weakref import WeakSet

__all__ = ["imports_at_rest"]

# So long a fork waits for an import; it may need what this thread has, or hang.
_MOST_SECONDS = 1.0
_LOOK_SECONDS = 0.0005

# By module: a weak reference to its lock. None has one but what is being imported.
_locks: dict[str, Any] = getattr(_bootstrap, "_module_locks", {})
_overdue: WeakSet[Any] = WeakSet()  # locks that have been waited for
_this = threading.local()


@contextmanager
def imports_at_rest() -> Generator[None]:
    """In the block, a fork in this thread waits for imports of others, and its child finds no lock of theirs."""
    before = getattr(_this, "forks", False)
    _this.forks = True
    try:
        yield
    finally:
        _this.forks = before


def _of_others() -> dict[str, Any]:
    """The locks of what other threads import, by module."""
    me = threading.get_ident()
    held = ((name, reference()) for name, reference in list(_locks.items()))
    return {name: lock for name, lock in held if getattr(lock, "owner", None) not in (None, me)}


def _before_fork() -> None:
    if not getattr(_this, "forks", False):
        return
    until = time.monotonic() + _MOST_SECONDS
    while late := [lock for lock in _of_others().values() if lock not in _overdue]:
        if time.monotonic() > until:
            _overdue.update(late)
            return
        time.sleep(_LOOK_SECONDS)


def _in_child() -> None:
    if not getattr(_this, "forks", False):
        return
    _this.forks = False
    for name in _of_others():
        spec = getattr(sys.modules.get(name), "__spec__", None)
        if getattr(spec, "_initializing", False):
            del sys.modules[name]
    me = threading.get_ident()
    for name, reference in list(_locks.items()):
        # Also those of nobody: at that moment another thread may have been about to take or to release one.
        if getattr(reference(), "owner", None) != me:
            del _locks[name]


os.register_at_fork(before=_before_fork, after_in_child=_in_child)
