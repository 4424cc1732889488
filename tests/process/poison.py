"""Items that cannot be unpickled, and what a test asks of what is left of them."""

from __future__ import annotations

import multiprocessing
import pickle
from collections.abc import Callable
from typing import Any


class Unknown(Exception):
    pass


class Poison:
    """Cannot be unpickled while `cured` is False; has what it carries, when it can."""

    cured = False

    def __init__(self, carries: Any = None) -> None:
        self.carries = carries

    def __reduce__(self) -> tuple[Any, ...]:
        return _arrive, (self.carries,)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Poison) and self.carries == other.carries

    __hash__ = None  # type: ignore[assignment]


def _arrive(carries: Any) -> Poison:
    if not Poison.cured:
        raise Unknown("cannot be made here")
    return Poison(carries)


def cure(error: Any) -> Poison:
    """What the error says of the item is all of it."""
    Poison.cured = True
    try:
        made: Poison = pickle.loads(error.raw, buffers=error.buffers)
        return made
    finally:
        Poison.cured = False


# Within a message, in a run of its own, and with a buffer beside the pickle, small and large.
CARRIED = [None, "x" * 100_000, bytearray(b"y" * 20_000), bytearray(b"z" * 1_000_000)]


def carried(content: Any) -> Any:
    return pickle.PickleBuffer(content) if isinstance(content, bytearray) else content


def is_same(poison: Poison, content: Any) -> bool:
    return (
        bytes(poison.carries) == bytes(content)
        if isinstance(content, bytearray)
        else poison.carries == content
    )


def put_from(start: str, put: Callable[..., None], *items: Any) -> int:
    """The pid of the process that did it. A class is made an object of there: it could not be sent to it."""
    process = multiprocessing.get_context(start).Process(target=_put_all, args=(put, items))
    process.start()
    process.join(60)
    assert process.exitcode == 0
    pid = process.pid
    assert pid is not None
    return pid


def _put_all(put: Callable[..., None], items: tuple[Any, ...]) -> None:
    for item in items:
        put(item() if isinstance(item, type) else item)
