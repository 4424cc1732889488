"""Waiting for what happens in other processes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

__all__ = ["is_gone", "wait_until"]


def is_gone(pid: int) -> bool:
    """Whether there is no such process, not even a zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def wait_until(condition: Callable[[], object], seconds: float = 30) -> None:
    """Return when it is true; fail if that takes too long."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)
