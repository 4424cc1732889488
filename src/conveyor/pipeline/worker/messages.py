"""What an engine and its workers say to each other over their channels.

An item or a result of any type but `tuple` stands for itself, so that telling it from everything else costs
one type check. A tuple is one of the messages below; a tuple that is an item goes as `(VALUE, it)`.

A worker puts each result as soon as it has it, and in the order of the items. So at any moment the engine can
tell what a dead worker had done (its results are in the channel, and survive it), what it was doing (the
first item without a result) and what it had not begun (still in its channel of tasks).
"""

from __future__ import annotations

import pickle
from typing import Any, Final

from ..._native import borrow

__all__ = [
    "AGAIN",
    "BROKEN",
    "DISMISS",
    "DROPPED",
    "FAILED",
    "LEFT",
    "LENT",
    "MULTI_RESULT",
    "ORDER",
    "PART",
    "READY",
    "REST",
    "SAID",
    "SEEDED",
    "SLOW",
    "STOP",
    "STRANDED",
    "TORN",
    "VALUE",
    "WORN",
    "Unreadable",
    "is_stop",
    "kind_of",
    "unlend",
    "wrap",
]

VALUE: Final = 0
"""`(VALUE, item)`: an item or a result that is a tuple itself."""
DROPPED: Final = 1
"""`(DROPPED,)`: the item has no result: a filter left it out."""
MULTI_RESULT: Final = 2
"""`(MANY, [values])`: the item's results, or the rest of them."""
PART: Final = 3
"""`(PART,)`: the next message is a list of some of the item's results; more follow. By itself, so that those which
cannot be unpickled are still known for a part."""
FAILED: Final = 4
"""`(FAILED, stage, attempts, pickled exception or None, name, text, place, traceback)`: the item's function raised."""
READY: Final = 5
"""`(READY,)`: the worker is there."""
SLOW: Final = 6
"""`(SLOW, nanoseconds)`: the item whose result came just before took so long."""
BROKEN: Final = 7
"""`(BROKEN, …)` with the fields of `FAILED`: the worker could not be set up, and ends."""
STRANDED: Final = 10
"""`(STRANDED, why, traceback)`: the worker cannot import what it is to do, and ends; no other would fare better."""
TORN: Final = 12
"""`(TORN, …)` with the fields of `FAILED`: the worker's teardown raised; what else is to be torn down follows."""
LEFT: Final = 11
"""`(LEFT,)`: the worker's last word, when its teardown is done."""
LENT: Final = 9
"""To a worker, `(LENT, pickle, [buffers])`: an item whose large buffers lie where the engine received them."""
AGAIN: Final = 13
"""To a worker that tries items again by itself, `(AGAIN, attempts, item)`: others have tried it so often."""
SEEDED: Final = 16
"""To a worker, `(SEEDED, number, message)`: an item that comes with its place in the stage's input, for its seed."""
WORN: Final = 17
"""`(WORN,)`: the worker has done as many items, or has as much memory, as it may; it takes no more, and tears down."""
REST: Final = 18
"""`(REST, [values])`: results that belong to no item: what the worker still had when it tore down."""
SAID: Final = 19
"""`(SAID, what, bytes)`: what its program has logged, warned of or printed; see `Voice`. At any time, by any thread."""
STOP: Final = 8
"""To a worker, `(STOP,)`: leave when you come to this."""
ORDER: Final = 14
"""To a persistent process that waits, `(ORDER, number, pickled job or None, numbers)`: work on this job until told to
stop. None: it has that job already. It forgets the jobs with these numbers before."""
DISMISS: Final = 15
"""To a persistent process that waits, `(DISMISS,)`: tear down all that is set up, and end."""


class Unreadable:
    """In the place of an item or a result that came, and could not be unpickled."""

    __slots__ = ("error",)

    def __init__(self, error: BaseException) -> None:
        self.error = error


def wrap(items: list[Any]) -> list[Any]:
    """The messages that carry these items."""
    if tuple in set(map(type, items)):
        return [(VALUE, item) if type(item) is tuple else item for item in items]
    return items


def unlend(message: tuple[Any, ...]) -> Any:
    """The item of a `LENT` message."""
    _, head, parts = message
    # A place, or a buffer that lay elsewhere.
    buffers: list[Any] = [part if isinstance(part, bytearray) else borrow(*part) for part in parts]
    return pickle.loads(head, buffers=buffers)


def kind_of(message: Any) -> int | None:
    """Which message it is; None: an item or a result that stands for itself."""
    return message[0] if type(message) is tuple else None  # pyright: ignore[reportUnknownVariableType]


def is_stop(message: Any) -> bool:
    """Whether this tells a worker to leave."""
    return kind_of(message) == STOP
