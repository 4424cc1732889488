"""When the program may be forked: not while code of its own runs in a thread that a pipeline started.

A fork copies all locks as they are, and of all threads only the one that forks. Whatever another held at that moment,
be it a lock of the program's or one of logging, of an import or of a numerical library, is held in the copy for ever.
So all threads that run the program's code are started here; and before the first of them, every run that might fork
makes a template, which is forked in the place of the program from then on.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any, Protocol
from weakref import WeakSet

__all__ = ["Forks", "forking", "may_fork", "start_thread"]


class Forks(Protocol):
    """What forks the program."""

    def stop_forking(self) -> None:
        """The last moment to do so."""
        ...


class _State:
    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.forks: WeakSet[Forks] = WeakSet()
        self.threads = 0


_state = _State()


def _forget() -> None:
    """In a child: the parent's threads are not there, and its runs not ours."""
    global _state
    _state = _State()


os.register_at_fork(after_in_child=_forget)


def may_fork(who: Forks) -> bool:
    """Whether it may fork the program from now on, until it is told to stop; what it does so, it does in `forking`."""
    with _state.lock:
        if _state.threads:
            return False
        _state.forks.add(who)
        return True


@contextmanager
def forking() -> Generator[None]:
    """In the block, no thread begins that runs the program's code."""
    with _state.lock:
        yield


def start_thread(name: str, target: Callable[..., object], *args: Any) -> threading.Thread:
    """Start a daemon thread that runs code of the program's, in the context of this one: its context variables, and
    what hangs on them, as the precision of decimal numbers.

    Args:
        name: what people see of it.
        target, args: what it calls.
    """
    state = _state
    context = copy_context()

    def run() -> None:
        try:
            context.run(target, *args)
        finally:
            with state.lock:
                state.threads -= 1

    thread = threading.Thread(target=run, name=name, daemon=True)
    with state.lock:
        for who in list(state.forks):
            who.stop_forking()
        state.forks.clear()
        state.threads += 1
        try:
            thread.start()
        except BaseException:
            state.threads -= 1
            raise
    return thread
