"""make_source: what reads from whatever a pipeline was given as its source."""

from __future__ import annotations

import collections.abc
import inspect
import os
import stat
import sys
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .file_items import FileItems
from .keyed import Keyed
from .leased import LeaseSource
from .source import IterableSource, LineSource, QueueSource, Source
from .threaded import ThreadSource

if TYPE_CHECKING:
    from ..host.event_loop import Loop

__all__ = ["make_source"]

# Iterating over these never waits for anything.
_QUICK = (list, tuple, range, dict, set, frozenset, deque)


def make_source(
    given: Any, wake: Callable[[], None], loop: Callable[[], Loop], leased: bool = False
) -> Source[Any]:
    """What reads from a pipeline's source.

    Args:
        given: the source, as the pipeline has it.
        wake: called, in any thread, when there is something to read.
        loop: makes the event loop that an async iterable is iterated in.
        leased: its items are leased; it is a queue.
    """
    if isinstance(given, Keyed):
        given = given.source
    if leased:
        return LeaseSource(given, wake)
    if isinstance(given, (LineSource, IterableSource)):
        return given  # pyright: ignore[reportUnknownVariableType]
    if callable(getattr(given, "get_many", None)) and hasattr(given, "_reader"):
        return QueueSource(given)
    if callable(getattr(given, "subscribe", None)):
        given = given.subscribe()
    if callable(given) and not isinstance(given, (collections.abc.Iterable, collections.abc.AsyncIterable)):
        given = given()
        if not isinstance(given, (collections.abc.Iterable, collections.abc.AsyncIterable)):
            if inspect.iscoroutine(given):
                given.close()
            raise TypeError(f"the source function returned {given!r:.60}; it must return or be a generator")
    if isinstance(given, collections.abc.AsyncIterable):
        from .asynchronous import AsyncSource  # asyncio takes long to import

        return AsyncSource(given, wake, loop())  # pyright: ignore[reportUnknownArgumentType]
    if isinstance(given, FileItems):
        made = ThreadSource(given, wake) if given.waits else IterableSource(given)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
        made.measure = given  # pyright: ignore[reportUnknownMemberType]
        return made  # pyright: ignore[reportUnknownVariableType]
    if isinstance(given, _QUICK) or _is_plain_file(given) or _is_cursor(given):
        return IterableSource(given)  # pyright: ignore[reportUnknownArgumentType]
    return ThreadSource(given, wake)  # pyright: ignore[reportUnknownArgumentType]


def _is_cursor(given: Any) -> bool:
    """It may only be used in the thread that made it, and the file that it reads is at hand."""
    sqlite3 = sys.modules.get("sqlite3")
    return sqlite3 is not None and isinstance(given, sqlite3.Cursor)


def _is_plain_file(given: Any) -> bool:
    try:
        return stat.S_ISREG(os.fstat(given.fileno()).st_mode)
    except (AttributeError, OSError, TypeError, ValueError):
        return False
