"""Actions: what a person does to a queue from the page. Only queues with a name, or whose URL was given."""

from __future__ import annotations

import reprlib
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, cast

from ..errors import Empty, ShutDown
from ..queues.dead_letter import DeadLetter
from ..transports import connect
from ..transports.url import masked
from .lookout import Lookout
from .settings import Settings

__all__ = ["Actions"]

_LONGEST = 2000  # characters of an item
_BATCH = 100
_BROKER = "broker-"
_PATIENCE = 0.2  # seconds for an item that is said to be there


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
        with _opened(self._url(id_)) as queue:
            return {"items": [_shown(item) for item in queue.peek(most)]}

    def purge(self, id_: str, asked: dict[str, Any]) -> dict[str, Any]:
        """Take what waits, and throw it away."""
        with _opened(self._url(id_)) as queue:
            return {"purged": queue.purge()}

    def move(self, id_: str, asked: dict[str, Any]) -> dict[str, Any]:
        """Put what waits into another queue, `to` (an id), at least once; at most `n` items."""
        return self._moved(id_, asked, unwraps=False)

    def retry(self, id_: str, asked: dict[str, Any]) -> dict[str, Any]:
        """As `move`, of dead letters: their items go. What is no dead letter goes as it is; one whose item could not be
        read stays."""
        return self._moved(id_, asked, unwraps=True)

    def _moved(self, id_: str, asked: dict[str, Any], unwraps: bool) -> dict[str, Any]:
        source, target = self._url(id_), self._url(str(asked.get("to", "")))
        if source == target:
            raise ValueError("a queue cannot be moved into itself; choose another")
        most = asked.get("n")
        if most is not None and (not isinstance(most, int) or isinstance(most, bool) or most < 1):
            raise ValueError(f"n is {most!r}; it must be a number from 1")
        with _opened(source) as taken_from, _opened(target) as put_into:
            # What comes meanwhile stays: else two queues that are moved into each other would never be done.
            left = taken_from.qsize() if most is None else min(most, taken_from.qsize())
            done, kept = 0, list[Any]()
            while done + len(kept) < left:
                try:
                    leases = taken_from.lease_many(min(_BATCH, left - done - len(kept)), timeout=_PATIENCE)
                except (Empty, ShutDown):
                    break
                for place, lease in enumerate(leases):
                    if unwraps and _is_unreadable(lease.item):
                        kept.append(lease)  # its item could not be read: what was put is not to be had
                        continue
                    try:
                        put_into.put(_unwrapped(lease.item) if unwraps else lease.item, timeout=5)
                    except BaseException:
                        for other in reversed([*kept, *list(leases)[place:]]):
                            other.release()
                        raise
                    lease.acknowledge()
                    done += 1
            for lease in reversed(kept):
                lease.release()
            return {"moved": done}

    def _url(self, id_: str) -> str:
        if id_.startswith(_BROKER):
            number = id_.removeprefix(_BROKER)
            if number.isdecimal() and int(number) < len(self._urls):
                return self._urls[int(number)]
        segment = self._lookout.segment(id_)
        if segment is None or segment.kind != "queue":
            raise LookupError(f"there is no queue {id_[:40]!r} (any more)")
        if segment.url is None:
            raise PermissionError("this queue has no name: nobody but the processes that have it can open it")
        return segment.url


@contextmanager
def _opened(url: str) -> Generator[Any]:
    queue: Any = connect(url, create=False)
    if not hasattr(queue, "qsize"):
        queue.close()
        raise ValueError(f"{masked(url)} is a topic; only queues can be looked into")
    try:
        yield queue
    finally:
        queue.close()


def _is_unreadable(found: Any) -> bool:
    return isinstance(found, DeadLetter) and found.raw is not None


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
