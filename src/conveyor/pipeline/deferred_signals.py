"""deferred_signals: a block that no signal handler's exception can cut in two."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType
from typing import Any

__all__ = ["deferred_signals"]

_NUMBERS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def deferred_signals() -> Generator[None]:
    """In the block, Ctrl-C and SIGTERM are only noted; their handlers are called when it is left.

    For what must be done whole: a process that was started, and that nobody has noted down yet when `KeyboardInterrupt`
    comes, would never be ended. To block signals does not serve: any other thread of the process may get one, and
    Python runs its handler in the main thread all the same.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # Python runs handlers in the main thread only
        return
    noted: list[tuple[int, FrameType | None]] = []
    old: dict[int, Callable[[int, FrameType | None], Any]] = {}
    for each in _NUMBERS:
        handler = signal.getsignal(each)
        if callable(handler):
            old[each] = handler
            signal.signal(each, lambda number, frame: noted.append((number, frame)))
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
        # Not raised again: who watches signals by a descriptor was told already.
        for number, frame in noted:
            old[number](number, frame)
