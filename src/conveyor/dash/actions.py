"""Actions: what a person does to a queue from the page."""

from __future__ import annotations

import reprlib
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, cast

from ..errors import SegmentGone
from ..inspection import Reached, SegmentView
from ..queues.dead_letter import DeadLetter
from ..transports import connect
from ..transports.moving import move_items
from ..transports.url import masked
from .lookout import Lookout
from .settings import Settings

__all__ = ["Actions"]

_LONGEST = 2000  # characters of an item
_BROKER = "broker-"
_PATIENCE = 5.0  # seconds for room in a queue, for each portion of items


class Actions:
    """Each opens the queue for itself and closes it again; so the dashboard is no user of what it merely watches.

    They may be called in any thread. All raise LookupError when there is no queue of that id, PermissionError when it
    may not be touched, and what the queue raises.

    Args:
        settings: of the dashboard.
        lookout: knows the queues.
    """

    def __init__(self, settings: Settings, lookout: Lookout) -> None:
        self._urls = settings.urls
        self._lookout = lookout

    def peek(self, id_: str, most: int) -> dict[str, Any]:
        """What waits, without taking it.

        Args:
            id_: of the queue.
            most: items.
        """
        with _opened(self._place(id_)) as queue:
            return {"items": [_shown(item) for item in queue.peek(most)]}

    def purge(self, id_: str, asked: dict[str, Any]) -> dict[str, Any]:
        """Take what waits, and throw it away."""
        with _opened(self._place(id_)) as queue:
            return {"purged": queue.purge()}

    def move(self, id_: str, asked: dict[str, Any]) -> dict[str, Any]:
        """Put what waits into another queue, `to` (an id), at least once; at most `n` items."""
        return self._moved(id_, asked, unwraps=False)

    def retry(self, id_: str, asked: dict[str, Any]) -> dict[str, Any]:
        """As `move`, of dead letters: their items go. What is no dead letter goes as it is; one whose item could not be
        read stays. Into itself: what its broker has set aside, as there were no dead letters."""
        place = self._place(id_)
        if place != self._place(str(asked.get("to", ""))):
            return self._moved(id_, asked, unwraps=True)
        with _opened(place) as queue:
            if not hasattr(queue, "retry_dead"):
                raise ValueError(
                    "what this queue has given up goes to its dead letters; retry from that queue"
                )
            return {"moved": queue.retry_dead(max_items=_most(asked), timeout=_PATIENCE)}

    def _moved(self, id_: str, asked: dict[str, Any], unwraps: bool) -> dict[str, Any]:
        source, target = self._place(id_), self._place(str(asked.get("to", "")))
        if source == target:
            raise ValueError("a queue cannot be moved into itself; choose another")
        most = _most(asked) or sys.maxsize
        with _opened(source) as taken_from, _opened(target) as put_into:
            if unwraps:
                done = move_items(taken_from, put_into, most, _PATIENCE, _is_readable, _unwrapped)
            else:
                done = move_items(taken_from, put_into, most, _PATIENCE)
        return {"moved": done.moved}

    def _place(self, id_: str) -> str | SegmentView:
        """The URL of a queue; or what was seen of one that has no name."""
        if id_.startswith(_BROKER):
            number = id_.removeprefix(_BROKER)
            if number.isdecimal() and int(number) < len(self._urls):
                return self._urls[int(number)]
        segment = self._lookout.segment(id_)
        if segment is None or segment.kind != "queue":
            raise LookupError(f"there is no queue {id_[:40]!r} (any more)")
        return segment if segment.url is None else segment.url


def _most(asked: dict[str, Any]) -> int | None:
    most = asked.get("n")
    if most is not None and (not isinstance(most, int) or isinstance(most, bool) or most < 1):
        raise ValueError(f"n is {most!r}; it must be a number from 1")
    return most


@contextmanager
def _opened(place: str | SegmentView) -> Generator[Any]:
    if not isinstance(place, str):
        try:
            reached = Reached(place, watches=False)
        except SegmentGone as error:
            raise LookupError(str(error)) from None
        try:
            yield reached.handle
        finally:
            reached.close()
        return
    queue: Any = connect(place, create=False)
    if not hasattr(queue, "qsize"):
        queue.close()
        raise ValueError(f"{masked(place)} is a topic; only queues can be looked into")
    try:
        yield queue
    finally:
        queue.close()


def _is_readable(found: Any) -> bool:
    """Else what was put is not to be had: only its bytes are there."""
    return not isinstance(found, DeadLetter) or found.raw is None


def _unwrapped(found: Any) -> Any:
    return cast("DeadLetter[Any]", found).item if isinstance(found, DeadLetter) else found  # type: ignore[redundant-cast]


_repr = reprlib.Repr()
_repr.maxstring = _repr.maxother = _LONGEST
_repr.maxdict = _repr.maxlist = _repr.maxtuple = _repr.maxset = 50


def _shown(found: Any) -> dict[str, Any]:
    letter = cast("DeadLetter[Any]", found) if isinstance(found, DeadLetter) else None  # type: ignore[redundant-cast]
    item: Any = _unwrapped(found)
    try:
        text = _repr.repr(item)[:_LONGEST]
    except Exception as error:  # of the item's own class
        text = f"<{type(item).__name__}: its repr raised {type(error).__name__}>"
    return {
        "text": text,
        "type": type(item).__name__,
        "dead": letter is not None,
        "error": "" if letter is None else letter.error,
        "attempts": 0 if letter is None else letter.attempts,
        "pid": 0 if letter is None else letter.pid,
    }
