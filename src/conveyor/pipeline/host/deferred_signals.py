"""deferred_signals: a block that no signal handler's exception can cut in two."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType
from typing import Any

__all__ = ["deferred_signals", "surely"]

_Handler = Callable[[int, FrameType | None], Any]
_Call = tuple[int, FrameType | None]

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
    noted: list[_Call] = []
    old: dict[int, _Handler] = {}
    try:
        for each in _NUMBERS:
            handler = signal.getsignal(each)
            if callable(handler):
                old[each] = handler
                signal.signal(each, lambda number, frame: noted.append((number, frame)))
        yield
    finally:
        try:
            _restore(old)
        except BaseException:
            _restore(old)  # one that was back already was called, and raised this
            raise
        finally:
            _call(old, noted)


def surely(action: Callable[[], object]) -> None:
    """Call it with signals deferred, also if a handler raises just before they are: that is raised afterwards."""
    begun = False
    try:
        with deferred_signals():
            begun = True
            action()
    finally:
        if not begun:
            with deferred_signals():
                action()


def _restore(old: dict[int, _Handler]) -> None:
    for number, handler in old.items():
        signal.signal(number, handler)


def _call(old: dict[int, _Handler], noted: list[_Call]) -> None:
    # Not raised again: who watches signals by a descriptor was told already.
    if noted:
        number, frame = noted.pop(0)
        try:
            old[number](number, frame)
        finally:
            _call(old, noted)
