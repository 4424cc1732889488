"""`os._exit` says to the core that the process ends normally, and then ends it.

A process that ends by an exit keeps what it took, as with the standard library; one that is killed gives it back
(docs/reliability.md). The core hears of the end of an interpreter by itself. `os._exit` ends a process at once: it is
how `multiprocessing` ends the children that it forks, and how programs end those that they fork by hand.
"""

from __future__ import annotations

import functools
import os
from typing import NoReturn

from .._native import end_normally

__all__ = ["watch_os_exit"]


def watch_os_exit() -> None:
    """Put a function in the place of `os._exit` that does the same, after `end_normally`. Idempotent."""
    of_the_system = os._exit
    if hasattr(of_the_system, "__wrapped__"):
        return

    @functools.wraps(of_the_system)
    def _exit(status: int) -> NoReturn:
        end_normally()
        of_the_system(status)

    # So that it is pickled by the name under which everybody finds it.
    _exit.__module__, _exit.__qualname__ = "os", "_exit"
    os._exit = _exit
